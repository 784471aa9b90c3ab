//! The Node process that runs yjs: one line of commands in, one line of answers out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// yjs, in a process of its own.
pub(crate) struct Node {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    commands: Vec<Value>,
}

impl Node {
    pub(crate) fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop/differential.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node is installed (npm run setup says how)");
        Self {
            stdin: child.stdin.take().expect("it was asked for"),
            stdout: BufReader::new(child.stdout.take().expect("it was asked for")),
            child,
            commands: Vec::new(),
        }
    }

    /// Puts a command into the next line.
    pub(crate) fn say(&mut self, command: Value) {
        self.commands.push(command);
    }

    /// Sends what was put into the line; returns the answers, one for each command that has one.
    pub(crate) fn ask(&mut self) -> Vec<Value> {
        let line = Value::Array(std::mem::take(&mut self.commands));
        // A script that has failed has said why on standard error.
        writeln!(self.stdin, "{line}").expect("yjs listens");
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("yjs answers");
        serde_json::from_str(&answer).expect("yjs answers in JSON (if it says nothing: run `npm ci` first)")
    }

    pub(crate) fn apply(&mut self, name: &str, update: &[u8]) {
        self.say(json!(["apply", name, STANDARD.encode(update)]));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill()); // it may have ended
        drop(self.child.wait());
    }
}

/// The bytes of an answer.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().expect("base64")).expect("base64")
}
