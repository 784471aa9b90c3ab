//! A server as a child process on a free port, with a data folder of its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long a server may take to answer at its start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// One run of a server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Starts our `program` on `data` and waits until it answers.
    ///
    /// # Errors
    /// When the program cannot be started or does not listen within a minute.
    pub fn start(program: &Path, data: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(program);
        command
            .args(["--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(data)
            .args(args);
        Self::spawn(command, port)
    }

    /// Runs `command` and waits until something listens on `port`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn spawn(mut command: Command, port: u16) -> anyhow::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{program} cannot be started; build or install it first"))?;
        let mut server = Self { child, port };
        let begin = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{program} ended at its start: {status}");
            }
            if begin.elapsed() > START_LIMIT {
                bail!("{program} does not listen after {START_LIMIT:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The address of a document for y-websocket clients.
    #[must_use]
    pub fn url(&self, doc: &str) -> String {
        format!("ws://127.0.0.1:{}/y/{doc}", self.port)
    }

    /// Ends it as `kill -9` does.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port that nothing listens on.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
