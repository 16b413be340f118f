using System.Text;

namespace QuantSdk.Tasks;

/// <summary>Reads UTF-8 lines, none longer than a limit: whoever writes them cannot fill this process's memory.</summary>
internal sealed class BoundedLineReader(Stream stream, int maximumBytes)
{
    private readonly byte[] _buffer = new byte[16 * 1024];
    private readonly MemoryStream _line = new();
    private int _position;
    private int _count;

    /// <summary>The next line without its line break, or null at the end.</summary>
    /// <exception cref="LineTooLongException">The line has more bytes than allowed.</exception>
    public string? ReadLine()
    {
        _line.SetLength(0);
        while (true)
        {
            if (_position == _count)
            {
                _count = stream.Read(_buffer);
                _position = 0;
                if (_count == 0) return _line.Length == 0 ? null : Text();
            }
            var rest = _buffer.AsSpan(_position, _count - _position);
            var end = rest.IndexOf((byte)'\n');
            var part = end < 0 ? rest : rest[..end];
            if (_line.Length + part.Length > maximumBytes) throw new LineTooLongException();
            _line.Write(part);
            _position += part.Length;
            if (end < 0) continue;
            _position++;
            return Text();
        }
    }

    private string Text() => Encoding.UTF8.GetString(_line.GetBuffer(), 0, (int)_line.Length).TrimEnd('\r');
}

/// <summary>A line went over the limit of <see cref="BoundedLineReader"/>.</summary>
internal sealed class LineTooLongException : Exception;
