using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace QuantSdk.Tests.Serving;

/// <summary>
/// Reads the text format of inference.ModelConfig into JSON as Triton shows it: by the language's specification (protobuf.dev, text format) and the fields of the
/// message that model_configuration.md names, with their kinds. An unknown field, or a value of another kind, is an error as it is to a server.
/// </summary>
internal sealed class TextProtoParser
{
    private readonly string _text;
    private int _at;

    private TextProtoParser(string text) => _text = text;

    /// <summary>A field's kind: i number, s text, b true or false, e word of an enumeration, {…} name of a message; * repeated; map:{…} entries of key and value.</summary>
    private static readonly Dictionary<string, Dictionary<string, string>> s_messages = new()
    {
        ["ModelConfig"] = new()
        {
            ["name"] = "s", ["platform"] = "s", ["backend"] = "s", ["max_batch_size"] = "i", ["input"] = "*ModelInput", ["output"] = "*ModelOutput", ["version_policy"] = "ModelVersionPolicy",
            ["instance_group"] = "*ModelInstanceGroup", ["dynamic_batching"] = "ModelDynamicBatching", ["default_model_filename"] = "s", ["cc_model_filenames"] = "map:s",
            ["optimization"] = "ModelOptimizationPolicy", ["parameters"] = "map:ModelParameter",
        },
        ["ModelInput"] = new() { ["name"] = "s", ["data_type"] = "e", ["format"] = "e", ["dims"] = "*i", ["reshape"] = "ModelTensorReshape", ["is_shape_tensor"] = "b", ["optional"] = "b" },
        ["ModelOutput"] = new() { ["name"] = "s", ["data_type"] = "e", ["dims"] = "*i", ["reshape"] = "ModelTensorReshape", ["label_filename"] = "s", ["is_shape_tensor"] = "b" },
        ["ModelTensorReshape"] = new() { ["shape"] = "*i" },
        ["ModelVersionPolicy"] = new() { ["latest"] = "Latest", ["all"] = "All", ["specific"] = "Specific" },
        ["Latest"] = new() { ["num_versions"] = "i" },
        ["All"] = [],
        ["Specific"] = new() { ["versions"] = "*i" },
        ["ModelInstanceGroup"] = new() { ["name"] = "s", ["kind"] = "e", ["count"] = "i", ["gpus"] = "*i", ["profile"] = "*s", ["passive"] = "b" },
        ["ModelDynamicBatching"] = new() { ["preferred_batch_size"] = "*i", ["max_queue_delay_microseconds"] = "i", ["preserve_ordering"] = "b" },
        ["ModelOptimizationPolicy"] = new() { ["graph"] = "Graph", ["cuda"] = "Cuda", ["execution_accelerators"] = "ExecutionAccelerators" },
        ["Graph"] = new() { ["level"] = "i" },
        ["Cuda"] = new() { ["graphs"] = "b", ["busy_wait_events"] = "b", ["output_copy_stream"] = "b" },
        ["ExecutionAccelerators"] = new() { ["gpu_execution_accelerator"] = "*Accelerator", ["cpu_execution_accelerator"] = "*Accelerator" },
        ["Accelerator"] = new() { ["name"] = "s", ["parameters"] = "map:s" },
        ["ModelParameter"] = new() { ["string_value"] = "s" },
    };

    private static readonly Dictionary<string, string[]> s_words = new()
    {
        ["kind"] = ["KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"],
        ["data_type"] = ["TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64", "TYPE_INT8", "TYPE_INT16", "TYPE_INT32", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32", "TYPE_FP64", "TYPE_STRING", "TYPE_BF16"],
    };

    /// <exception cref="FormatException">Whatever is wrong, with where.</exception>
    public static JsonObject Parse(string text)
    {
        var parser = new TextProtoParser(text);
        var config = parser.Message("ModelConfig", close: null);
        return config;
    }

    private JsonObject Message(string type, char? close)
    {
        var (fields, message) = (s_messages[type], new JsonObject());
        while (true)
        {
            Blank();
            if (_at == _text.Length)
                return close is null ? message : throw Wrong($"'{close}' is missing");
            if (_text[_at] == close)
            {
                _at++;
                return message;
            }
            var name = Word();
            if (!fields.TryGetValue(name, out var kind))
                throw Wrong($"{type} has no field '{name}'");
            Field(message, name, kind);
            Blank();
            if (_at < _text.Length && _text[_at] is ',' or ';')
                _at++;
        }
    }

    private void Field(JsonObject message, string name, string kind)
    {
        var colon = Take(':');
        if (kind.StartsWith("map:", StringComparison.Ordinal))
        {
            Expect('{');
            var (key, value) = Entry(kind[4..]);
            var map = message[name]?.AsObject() ?? (JsonObject)(message[name] = new JsonObject());
            if (!map.TryAdd(key, value))
                throw Wrong($"'{key}' is there twice");
            return;
        }
        var repeated = kind[0] == '*';
        var type = repeated ? kind[1..] : kind;
        if (!colon && !s_messages.ContainsKey(type))
            throw Wrong($"a ':' is missing behind '{name}'");
        if (!repeated)
        {
            if (message.ContainsKey(name))
                throw Wrong($"'{name}' is there twice");
            message[name] = Value(name, type);
            return;
        }
        var list = message[name]?.AsArray() ?? (JsonArray)(message[name] = new JsonArray());
        if (!Take('['))
        {
            list.Add(Value(name, type));
            return;
        }
        for (var first = true; !Take(']'); first = false)
        {
            if (!first)
                Expect(',');
            list.Add(Value(name, type));
        }
    }

    private (string Key, JsonNode Value) Entry(string type)
    {
        string? key = null;
        JsonNode? value = null;
        while (!Take('}'))
        {
            switch (Word())
            {
                case "key" when key is null:
                    Expect(':');
                    key = Text();
                    break;
                case "value" when value is null:
                    if (!Take(':') && type == "s")
                        throw Wrong("a ':' is missing behind 'value'");
                    value = Value("value", type);
                    break;
                default:
                    throw Wrong("an entry has one key and one value");
            }
        }
        return (key ?? "", value ?? throw Wrong("an entry has no value"));
    }

    private JsonNode Value(string name, string type)
    {
        Blank();
        switch (type)
        {
            case "s":
                return JsonValue.Create(Text());
            case "i":
                var number = Word("-");
                return long.TryParse(number, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var n) ? JsonValue.Create(n) : throw Wrong($"'{number}' is no number");
            case "b":
                return Word() switch { "true" or "t" => JsonValue.Create(true), "false" or "f" => JsonValue.Create(false), var w => throw Wrong($"'{w}' is neither true nor false") };
            case "e":
                var word = Word();
                return !s_words.TryGetValue(name, out var words) || words.Contains(word) ? JsonValue.Create(word) : throw Wrong($"'{word}' is none of {string.Join(", ", words)}");
            default:
                Expect('{');
                return Message(type, '}');
        }
    }

    private string Text()
    {
        Blank();
        var bytes = new List<byte>();
        if (_at == _text.Length || _text[_at] is not ('"' or '\''))
            throw Wrong("a quoted text is expected");
        var quote = _text[_at++];
        while (true)
        {
            if (_at == _text.Length || _text[_at] == '\n')
                throw Wrong("a text does not end");
            var c = _text[_at++];
            if (c == quote)
                return Encoding.UTF8.GetString([.. bytes]);
            if (c != '\\')
            {
                bytes.AddRange(Encoding.UTF8.GetBytes([c]));
                continue;
            }
            var escape = _text[_at++];
            if (escape is >= '0' and <= '7')
            {
                var value = escape - '0';
                for (var i = 0; i < 2 && _text[_at] is >= '0' and <= '7'; i++)
                    value = value * 8 + _text[_at++] - '0';
                bytes.Add((byte)value);
            }
            else
            {
                bytes.Add(escape switch { 'n' => (byte)'\n', 't' => (byte)'\t', 'r' => (byte)'\r', '"' or '\'' or '\\' => (byte)escape, _ => throw Wrong($"'\\{escape}' is no escape") });
            }
        }
    }

    private string Word(string also = "")
    {
        Blank();
        var from = _at;
        while (_at < _text.Length && (char.IsAsciiLetterOrDigit(_text[_at]) || _text[_at] == '_' || also.Contains(_text[_at])))
            _at++;
        return from == _at ? throw Wrong("a name is expected") : _text[from.._at];
    }

    private bool Take(char c)
    {
        Blank();
        if (_at == _text.Length || _text[_at] != c)
            return false;
        _at++;
        return true;
    }

    private void Expect(char c)
    {
        if (!Take(c))
            throw Wrong($"'{c}' is expected");
    }

    private void Blank()
    {
        while (_at < _text.Length && (char.IsWhiteSpace(_text[_at]) || _text[_at] == '#'))
            _at = _text[_at] == '#' ? _text.IndexOf('\n', _at) is >= 0 and var end ? end : _text.Length : _at + 1;
    }

    private FormatException Wrong(string what) => new($"line {_text[..Math.Min(_at, _text.Length)].Count(c => c == '\n') + 1}: {what}");
}
