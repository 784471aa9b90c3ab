//! The real server as a child process on a free port, with a data folder of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long the server may take to answer at its start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// One run of the server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    data: PathBuf,
}

impl Server {
    /// Starts `program` on `data` and waits until it answers.
    ///
    /// # Errors
    /// When the program cannot be started or does not listen within a minute.
    pub fn start(program: &Path, data: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(program)
            .args(["--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(data)
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} cannot be started; build it first", program.display()))?;
        let mut server = Self {
            child,
            port,
            data: data.to_path_buf(),
        };
        let begin = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended at its start: {status}");
            }
            if begin.elapsed() > START_LIMIT {
                bail!("the server does not listen after {START_LIMIT:?}");
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

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The address of a document for y-websocket clients.
    #[must_use]
    pub fn url(&self, doc: &str) -> String {
        format!("ws://127.0.0.1:{}/y/{doc}", self.port)
    }

    /// As a crash would end it.
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
