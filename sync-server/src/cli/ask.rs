//! Asks the server that runs on a folder, over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sync_server::LocalAddress;

/// How long to wait for a connection on this machine.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// The longest line of an answer's head.
const MAX_LINE: u64 = 16 << 10;

/// A server that answers.
pub(super) struct Server {
    address: LocalAddress,
    stream: TcpStream,
}

/// What it answers: the body is still to be read.
pub(super) struct Answer {
    body: BufReader<TcpStream>,
    length: u64,
}

impl Server {
    /// The server that runs on this folder, if one does.
    pub(super) fn of(data: &Path) -> Option<Self> {
        let address = LocalAddress::read(data)?;
        let stream = TcpStream::connect_timeout(&address.address, CONNECT_WITHIN).ok()?;
        Some(Self { address, stream })
    }

    /// Asks for something; an answer that is no success is an error in the server's words.
    pub(super) fn ask(
        mut self,
        method: &str,
        path: &str,
        body: Option<(&mut dyn Read, u64)>,
    ) -> anyhow::Result<Answer> {
        let length = body.as_ref().map_or(0, |(_, length)| *length);
        // HTTP/1.0: one answer, as it is, and then the end.
        let head = format!(
            "{method} /api/v1{path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {length}\r\n\r\n",
            self.address.secret
        );
        self.stream.write_all(head.as_bytes())?;
        if let Some((body, _)) = body {
            // A server that refuses it early closes the connection; what it says counts then.
            drop(std::io::copy(body, &mut self.stream));
        }
        let mut reader = BufReader::new(self.stream);
        let status = line(&mut reader)?;
        let code: u16 = status
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .with_context(|| format!("the server's answer is not understood: {status}"))?;
        let mut length = None;
        loop {
            let header = line(&mut reader)?;
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok();
            }
        }
        let answer = Answer {
            body: reader,
            length: length.context("the server's answer has no length")?,
        };
        if (200..300).contains(&code) {
            return Ok(answer);
        }
        let said = answer.text().unwrap_or_default();
        let message = serde_json::from_str::<serde_json::Value>(&said)
            .ok()
            .and_then(|json| Some(json.get("message")?.as_str()?.to_owned()));
        bail!(message.unwrap_or_else(|| format!("the server answers {status}")))
    }
}

impl Answer {
    /// Writes the body somewhere; an error unless all of it has come.
    pub(super) fn copy_to(mut self, to: &mut dyn Write) -> anyhow::Result<u64> {
        let copied = std::io::copy(&mut self.body, to)?;
        if copied != self.length {
            bail!("the server stopped after {copied} of {} bytes", self.length);
        }
        Ok(copied)
    }

    /// The body as text.
    pub(super) fn text(self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        self.copy_to(&mut bytes)?;
        Ok(String::from_utf8(bytes)?)
    }
}

fn line(reader: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    reader.take(MAX_LINE).read_line(&mut line)?;
    if !line.ends_with('\n') {
        bail!("the server closed the connection before it answered");
    }
    Ok(line.trim_end().to_owned())
}
