#!/usr/bin/env bash
# Packs everything, then uses the packages as somebody else would: from an empty folder, with an empty package folder, in every form.
#   eng/try-packages.sh            packs and tries
#   eng/try-packages.sh FOLDER     tries the packages in FOLDER
# The machine's package sources stay; the packed folder and eng/onnxruntime/feed are added to them. One line a form; exits 1 if one fails.
# TRY_KEEP=1 leaves the folder with the projects and the logs.
set -uo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
packages=${1:+$(cd "$1" && pwd)}
work=$(mktemp -d "${TMPDIR:-/tmp}/quantsdk-try.XXXXXX")
trap '[ -n "${TRY_KEEP:-}" ] && echo "kept $work" || rm -rf "$work"' EXIT
# What MSBuild and the SDK leave to their children is not for others' projects.
while IFS= read -r name; do unset "$name"; done < <(compgen -e | grep -iE '^(MSBuild|QuantSdk|DOTNET_CLI_CONTEXT)')
export DOTNET_CLI_UI_LANGUAGE=en DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1
export QuantSdkStoreMode=Off # every form does the work itself
version=1.0.0 failed=0
models=$repository/samples/Digits/models

# form NAME COMMAND...: runs the command in a folder of its own; its output is shown only if it fails.
form() {
    local name=$1 started=$SECONDS
    shift
    # In the background: bash ignores `set -e` in whatever stands in a condition.
    (set -e; mkdir -p "$work/$name"; cd "$work/$name"; "$@") > "$work/$name.log" 2>&1 < /dev/null &
    if wait $!; then
        echo "ok      $name ($((SECONDS - started)) s)"
    else
        echo "FAILED  $name"
        tail -n 25 "$work/$name.log" | sed 's/^/        /'
        failed=1
    fi
}

# has FOLDER NAME...: the engines are there, whole.
has() {
    local folder=$1 name
    shift
    for name; do
        for file in manifest.json cpu/model.onnx cpu/model.data cpu/model.optimised.onnx cpu/model.optimised.data; do
            [ -s "$folder/models/$name/$file" ] || { echo "missing: $folder/models/$name/$file"; return 1; }
        done
    done
}

pack() {
    cd "$repository"
    for project in src/QuantSdk.Tool src/QuantSdk.Tasks src/QuantSdk.Runtime templates; do
        dotnet pack "$project" -c Release -o "$work/packages" -v q -nologo
    done
}

# app FIRST-LINE [ITEMS] [FRAMEWORKS]: a console app with one small model; FIRST-LINE opens the project.
app() {
    cp "$models/prompt_encoder.onnx" .
    echo 'using var model = QuantSdk.Runtime.QuantizedModel.Load("models/prompt_encoder", log: System.Console.WriteLine); System.Console.WriteLine("loaded " + model.Manifest.Inputs[0].Name);' > Program.cs
    cat > App.csproj <<EOF
$1
  <PropertyGroup><OutputType>Exe</OutputType>${3:-<TargetFramework>net10.0</TargetFramework>}</PropertyGroup>
  <ItemGroup>
    <PackageReference Include="QuantSdk.Runtime" Version="$version" />
    ${2:-}
    <QuantizedModel Include="prompt_encoder.onnx" Precision="none" />
  </ItemGroup>
</Project>
EOF
}
reference='<PackageReference Include="QuantSdk" Version="'$version'" PrivateAssets="all" />'

builds_and_runs() {
    app "$@"
    dotnet run | tee run.log
    grep -q "loaded label" run.log
    has bin/Debug/net10.0 prompt_encoder
    dotnet build --no-restore -v:q -bl:second.binlog # nothing to do, and says so
    dotnet publish -o out
    has out prompt_encoder
    dotnet clean
    [ ! -e bin/Debug/net10.0/models/prompt_encoder/manifest.json ]
}

several_frameworks() {
    app "$@" '<TargetFrameworks>net10.0;net10.0-windows</TargetFrameworks><EnableWindowsTargeting>true</EnableWindowsTargeting><DisableTransitiveFrameworkReferenceDownloads>true</DisableTransitiveFrameworkReferenceDownloads>'
    dotnet build -tl:off | tee build.log
    [ "$(grep -c -- "-> models/prompt_encoder" build.log)" -eq 1 ]
    has bin/Debug/net10.0 prompt_encoder
    has bin/Debug/net10.0-windows prompt_encoder
    rm -r obj/quantsdk
    dotnet build --no-restore -t:QuantSdkBuildModels
    [ -s obj/quantsdk/prompt_encoder/manifest.json ]
    dotnet build --no-restore -t:QuantSdkClean
    [ ! -e obj/quantsdk ]
}

tool() {
    dotnet tool install QuantSdk.Tool --version "$version" --tool-path tools
    tools/quantsdk inspect "$models/prompt_encoder.onnx"
    tools/quantsdk build "$models/digits_cnn.onnx" --calibration-data "$models/digits_calib.npz" --output engine
    [ -s engine/manifest.json ]
}

template() {
    # In a hive of its own: nothing is installed for the user.
    dotnet new install "$packages/QuantSdk.Templates.$version.nupkg" --debug:custom-hive "$PWD/hive"
    dotnet new "$1" -o app --debug:custom-hive "$PWD/hive"
    dotnet run --project app | tee run.log
    shift
    "$@"
}
draws() { [ "$(head -c 8 digits.png | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ] && [ "$(stat -c %s digits.png)" -gt 1000 ]; }
recognises() { [ "$(sed -n 's/^\([0-9]*\) of 1000 digits recognised$/\1/p' run.log)" -ge 980 ]; }

# A library packs its models; an app uses it through another library, and knows nothing of QuantSdk.
carried() {
    mkdir library middle app
    cp "$models/prompt_encoder.onnx" library
    cat > library/Carrier.csproj <<EOF
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><TargetFramework>net10.0</TargetFramework><QuantSdkPackModels>true</QuantSdkPackModels><Version>$version</Version></PropertyGroup>
  <ItemGroup>
    $reference
    <PackageReference Include="QuantSdk.Runtime" Version="$version" />
    <QuantizedModel Include="prompt_encoder.onnx" Precision="none" />
  </ItemGroup>
</Project>
EOF
    cat > middle/Middle.csproj <<EOF
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><TargetFramework>net10.0</TargetFramework><Version>$version</Version></PropertyGroup>
  <ItemGroup><PackageReference Include="Carrier" Version="$version" /></ItemGroup>
</Project>
EOF
    cat > app/App.csproj <<EOF
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework></PropertyGroup>
  <ItemGroup><PackageReference Include="Middle" Version="$version" /></ItemGroup>
</Project>
EOF
    echo 'using var model = QuantSdk.Runtime.QuantizedModel.Load("models/prompt_encoder"); System.Console.WriteLine("loaded " + model.Manifest.Inputs[0].Name);' > app/Program.cs
    dotnet pack library -o "$packages"
    dotnet pack middle -o "$packages"
    dotnet publish app -o out
    has app/bin/Release/net10.0 prompt_encoder
    has out prompt_encoder
    dotnet out/App.dll | grep "loaded label"
}

if [ -z "$packages" ]; then
    form pack pack
    [ $failed -eq 0 ] || exit 1
    packages=$work/packages
else
    mkdir "$work/packages" && cp "$packages"/*.nupkg "$work/packages" && packages=$work/packages
fi
cat > "$work/nuget.config" <<EOF
<configuration>
  <packageSources>
    <add key="quantsdk-packed" value="$packages" />
    <add key="onnxruntime-local" value="$repository/eng/onnxruntime/feed" />
  </packageSources>
</configuration>
EOF
echo '<Project />' | tee "$work/Directory.Build.props" "$work/Directory.Build.targets" "$work/Directory.Packages.props" > /dev/null
cp "$repository/global.json" "$work/"

export NUGET_PACKAGES="$work/package-folder"

form package-reference builds_and_runs '<Project Sdk="Microsoft.NET.Sdk">' "$reference"
form project-sdk builds_and_runs "<Project Sdk=\"QuantSdk/$version\">"
form sdk-element builds_and_runs "<Project Sdk=\"Microsoft.NET.Sdk\"><Sdk Name=\"QuantSdk\" Version=\"$version\" />"
form several-frameworks several_frameworks '<Project Sdk="Microsoft.NET.Sdk">' "$reference"
form several-frameworks-project-sdk several_frameworks "<Project Sdk=\"QuantSdk/$version\">" ""
form tool tool
form template-quantized-diffusion template quantized-diffusion draws
form template-quantized-model template quantized-model recognises
form library-with-models carried
exit $failed
