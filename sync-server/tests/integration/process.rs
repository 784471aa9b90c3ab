//! The server's program as a child process.

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// One run of the program; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The program with arguments, not started yet. It reads nothing of this machine's settings.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inkling-server"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for name in [
        "INKLING_KEY",
        "INKLING_LISTEN",
        "INKLING_DATA",
        "INKLING_ROLE_KEYS",
        "INKLING_ORIGINS",
    ] {
        command.env_remove(name);
    }
    command
}

impl Process {
    /// Starts the server on `data` and waits until it listens.
    pub(crate) async fn start(data: &Path, port: u16) -> Self {
        let listen = format!("127.0.0.1:{port}");
        let mut command = command(&["--listen", &listen, "--no-ai", "--data"]);
        command.arg(data).stdout(Stdio::null()).stderr(Stdio::null());
        Self::spawn(command, port).await
    }

    pub(crate) async fn spawn(mut command: Command, port: u16) -> Self {
        let mut process = Self {
            child: command.spawn().unwrap(),
            port,
        };
        let begin = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(
                process.child.try_wait().unwrap().is_none(),
                "the server ended at its start"
            );
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "the server does not listen"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process
    }

    pub(crate) fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        let sent = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "it does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill()); // it may have ended
        drop(self.child.wait());
    }
}

/// Runs the program to its end: exit code and what it said.
pub(crate) fn run_to_end(args: &[&str]) -> (i32, String) {
    let mut child = command(args).spawn().unwrap();
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("it runs on with {args:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.code().unwrap_or(-1), said)
}
