//! HTTP/1.1, as much as a test client and a test proxy on loopback need: whole messages in memory, content-length and chunked bodies.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const MAX_BODY: usize = 512 * 1024 * 1024;
const MAX_HEAD: u64 = 256 * 1024;
const TIMEOUT: Duration = Duration::from_secs(60);

/// Header fields in the order of the message.
pub(crate) type Headers = Vec<(String, String)>;

/// A request: what goes to a server, and what a server sees.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `PUT`, ….
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header fields, without those that frame the body.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

/// An answer: what a server sent, or what a proxy shall say in its place.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields, without those that frame the body.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// The `Content-Length` of an answer without a body (to HEAD).
    pub announced_length: Option<u64>,
}

impl Request {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(mut self, media_type: &str, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self.header("Content-Type", media_type)
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query, without its question mark.
    #[must_use]
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

impl Answer {
    /// An answer with this status, header fields and body.
    #[must_use]
    pub fn new(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Self {
            status,
            headers,
            body: body.to_vec(),
            announced_length: None,
        }
    }

    /// The value of the first header field of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Replaces a header field.
    pub fn set_header(&mut self, name: &str, value: &str) {
        self.remove_header(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Removes all header fields of this name.
    pub fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one request over a connection of its own to `host:port` and reads the whole answer.
///
/// # Errors
///
/// When the connection fails or the answer is not HTTP/1.1.
pub fn request(address: &str, request: &Request) -> io::Result<Answer> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let last = request.clone().header("Connection", "close");
    (&stream).write_all(&message(address, &last))?;
    read_answer(&mut BufReader::new(&stream), &request.method)
}

/// The bytes of a request to `host:port`.
pub(crate) fn message(address: &str, request: &Request) -> Vec<u8> {
    let mut headers = request.headers.clone();
    if find(&headers, "host").is_none() {
        headers.insert(0, ("Host".to_owned(), address.to_owned()));
    }
    headers.push(("Content-Length".to_owned(), request.body.len().to_string()));
    let mut message = head(
        &format!("{} {} HTTP/1.1", request.method, request.target),
        &headers,
    );
    message.extend_from_slice(&request.body);
    message
}

/// Reads a request; `None` when the peer has closed the connection. Says `100 Continue` on `stream` if the client waits for that.
pub(crate) fn read_request(
    reader: &mut impl BufRead,
    mut stream: &TcpStream,
) -> io::Result<Option<Request>> {
    let Some((first, headers)) = read_head(reader)? else {
        return Ok(None);
    };
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(bad("request line"));
    };
    if find(&headers, "expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = read_body(reader, &headers, Some(0))?;
    let request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: without_framing(headers),
        body,
    };
    Ok(Some(request))
}

/// Reads an answer to a request of this method.
pub(crate) fn read_answer(reader: &mut impl BufRead, method: &str) -> io::Result<Answer> {
    loop {
        let Some((first, headers)) = read_head(reader)? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let status: u16 = first
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .ok_or_else(|| bad("status line"))?;
        if (100..200).contains(&status) {
            continue;
        }
        let bodiless = method == "HEAD" || status == 204 || status == 304;
        let announced_length = find(&headers, "content-length")
            .and_then(|v| v.parse().ok())
            .filter(|_| bodiless);
        let body = if bodiless {
            Vec::new()
        } else {
            read_body(reader, &headers, None)?
        };
        return Ok(Answer {
            status,
            headers: without_framing(headers),
            body,
            announced_length,
        });
    }
}

/// The head of an answer whose body goes out in one piece with a content length.
pub(crate) fn answer_head(answer: &Answer) -> Vec<u8> {
    let mut headers = answer.headers.clone();
    let length = answer.announced_length.unwrap_or(answer.body.len() as u64);
    if answer.status != 204 && answer.status != 304 {
        headers.push(("Content-Length".to_owned(), length.to_string()));
    }
    head(&format!("HTTP/1.1 {} -", answer.status), &headers)
}

/// The value of the first header field of this name.
pub(crate) fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.as_str())
}

fn head(first: &str, headers: &[(String, String)]) -> Vec<u8> {
    let mut text = format!("{first}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Reads the first line and the header fields; `None` when the peer has closed the connection.
pub(crate) fn read_head(reader: &mut impl BufRead) -> io::Result<Option<(String, Headers)>> {
    let mut reader = reader.take(MAX_HEAD);
    let Some(first) = read_line(&mut reader)? else {
        return Ok(None);
    };
    let mut headers = Headers::new();
    loop {
        let line = read_line(&mut reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(Some((first, headers)));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad("header field"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(Some(line))
}

/// Reads a body. Where the headers do not say how long it is, it has `unframed` bytes, or (`None`) it ends with the connection.
fn read_body(
    reader: &mut impl BufRead,
    headers: &[(String, String)],
    unframed: Option<usize>,
) -> io::Result<Vec<u8>> {
    if find(headers, "transfer-encoding")
        .is_some_and(|v| v.to_ascii_lowercase().contains("chunked"))
    {
        return read_chunks(reader);
    }
    let length = match find(headers, "content-length") {
        Some(text) => Some(text.parse().map_err(|_| bad("content length"))?),
        None => unframed,
    };
    let Some(length) = length else {
        let mut body = Vec::new();
        reader.read_to_end(&mut body)?;
        return Ok(body);
    };
    read_exactly(reader, length)
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
            .map_err(|_| bad("chunk size"))?;
        body.extend(read_exactly(reader, size)?);
        if size > 0 {
            read_line(reader)?;
            continue;
        }
        // Trailers, up to the empty line.
        while read_line(reader)?.is_some_and(|trailer| !trailer.is_empty()) {}
        return Ok(body);
    }
}

fn read_exactly(reader: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    if length > MAX_BODY {
        return Err(bad("body, which is too large"));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn without_framing(mut headers: Headers) -> Headers {
    const FRAMING: [&str; 5] = [
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "expect",
    ];
    headers.retain(|(name, _)| !FRAMING.contains(&name.to_ascii_lowercase().as_str()));
    headers
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP/1.1: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_and_trailers_are_put_together() {
        let mut text = &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nT: t\r\n\r\nrest"[..];
        let answer = read_answer(&mut text, "GET").expect("it is an answer");
        assert_eq!(
            (answer.status, answer.body.as_slice(), answer.header("x")),
            (200, &b"abcde"[..], Some("y"))
        );
        assert_eq!(text, b"rest");
    }

    #[test]
    fn an_answer_to_head_keeps_its_length_and_has_no_body() {
        let mut text = &b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"[..];
        let answer = read_answer(&mut text, "HEAD").expect("it is an answer");
        assert_eq!((answer.body.len(), answer.announced_length), (0, Some(77)));
        assert!(String::from_utf8_lossy(&answer_head(&answer)).contains("Content-Length: 77\r\n"));
    }

    #[test]
    fn a_cut_body_is_an_error() {
        let mut text = &b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nabc"[..];
        assert!(read_answer(&mut text, "GET").is_err());
    }
}
