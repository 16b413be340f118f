#!/usr/bin/env bash
# bench/sdxl/run-on-gpu.sh APP FOLDER [SETTING…]: exports the UNet into FOLDER, divides it with `quantsdk cut`, and measures it with `bench/run sdxl`.
# A step whose result is in FOLDER already is left out. Needs 20 GB there, and a GPU with 40 GB.
#
# APP is one folder with the Release outputs of src/QuantSdk.Tool and bench/QuantSdk.Bench, and beside libonnxruntime.so in
# APP/runtimes/linux-x64/native the CUDA provider of the same version (libonnxruntime_providers_cuda.so, libonnxruntime_providers_shared.so).
# python3 must have PyTorch for CUDA 13 (whose wheels bring CUDA's libraries and cuDNN); DOTNET names the .NET host, `dotnet` by default.
set -euo pipefail
app=$1 folder=$2
shift 2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$folder/lib"

wheels=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])')
# The provider asks for cuDNN without its version.
ln -sf "$wheels/cudnn/lib/libcudnn.so.9" "$folder/lib/libcudnn.so"
LD_LIBRARY_PATH=$folder/lib:$(echo "$wheels"/*/lib | tr ' ' ':')${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1

step() { echo "== $(date +%T) $*"; }
if [ ! -e "$folder/exported" ]; then
    step export
    python3 -W ignore "$here/export.py" "$folder" ${EXPORT_FLAGS:-}
    touch "$folder/exported"
fi
if [ ! -e "$folder/cut/model.onnx" ]; then
    step cut
    "${DOTNET:-dotnet}" "$app/quantsdk.dll" cut "$folder/unet.onnx" --cache up_blocks.2 -o "$folder/cut"
    ls -l "$folder/cut"
fi
step bench
"${DOTNET:-dotnet}" "$app/QuantSdk.Bench.dll" sdxl "$folder/cut" "$@"
step done
