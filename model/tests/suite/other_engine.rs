//! A real server of another make (dasllama, from PyPI), which speaks OpenAI's protocol. `sync-server`'s tests use it, too.
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use model::Locations;

/// The server; it ends with this.
pub(crate) struct OtherEngine {
    child: Child,
    /// Where it answers, on 127.0.0.1.
    pub(crate) port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for OtherEngine {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

impl OtherEngine {
    /// Starts it, with a home of its own, on the GGUF file that `model` makes or finds; it is given that home.
    pub(crate) fn start(model: impl FnOnce(&Path) -> PathBuf) -> Self {
        let program = Locations::from_environment()
            .cache
            .join("engine/dasllama/_sdk/dasllama-server.exe");
        assert!(
            program.is_file(),
            "{} is missing: run `node scripts/model/fetch.mjs --engine`",
            program.display()
        );
        let folder = tempfile::tempdir().unwrap();
        let model = model(folder.path());
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = Command::new(program)
            .arg("--model")
            .arg(model)
            .args(["--port", &port.to_string(), "--gpu", "off"])
            .args(["--threads", "2", "--ctx", "1024"])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            port,
            _folder: folder,
        }
    }

    /// Fails when it has ended by itself.
    pub(crate) fn assert_runs(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the server has ended");
    }
}
