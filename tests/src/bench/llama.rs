//! llama.cpp on the same weights, as a process that reads and writes tokens when it is told to.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use model::Locations;
use serde_json::{Value, json};

/// What puts it into the cache.
pub const SET_UP: &str = "node scripts/model/peer.mjs";

/// How long llama.cpp took, in milliseconds: by the clock, and of all its threads.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// For the prompt and the first token.
    pub prefill: f64,
    /// For all tokens but the first.
    pub decode: f64,
    /// CPU time for the prompt.
    pub prefill_cpu: f64,
    /// CPU time for all tokens but the first.
    pub decode_cpu: f64,
}

/// llama.cpp, running. Its calls block: nothing else is to run meanwhile.
#[derive(Debug)]
pub struct Llama {
    process: Child,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    load_ms: f64,
}

impl Llama {
    /// Starts it with so many threads; `None` when it is not in the cache.
    ///
    /// # Errors
    /// When it is there and does not start.
    pub fn start(threads: usize) -> anyhow::Result<Option<Self>> {
        let folder = Locations::from_environment().cache.join("llama.cpp");
        let weights = folder.join("model.gguf");
        if !weights.is_file() {
            return Ok(None);
        }
        let python = if cfg!(windows) {
            "venv/Scripts/python.exe"
        } else {
            "venv/bin/python"
        };
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scripts/model/peer.py");
        let mut process = Command::new(folder.join(python))
            .arg(script)
            .arg(weights)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("llama.cpp's Python does not start")?;
        let ask = process.stdin.take().context("it has no standard input")?;
        let answers = process.stdout.take().context("it has no standard output")?;
        let mut llama = Self {
            process,
            ask,
            answers: BufReader::new(answers).lines(),
            load_ms: 0.0,
        };
        let ready = llama.answer().context("llama.cpp does not load its model")?;
        llama.load_ms = ready["load_ms"].as_f64().unwrap_or(0.0);
        Ok(Some(llama))
    }

    /// Milliseconds that loading took, without the start of Python.
    #[must_use]
    pub const fn load_ms(&self) -> f64 {
        self.load_ms
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Reads a prompt, of which the first `keep` tokens are those that it read last, and writes so many tokens.
    ///
    /// # Errors
    /// When it has ended.
    pub fn run(&mut self, prompt: &[u32], tokens: usize, keep: usize) -> anyhow::Result<Took> {
        let line = format!("{}\n", json!({"prompt": prompt, "tokens": tokens, "keep": keep}));
        self.ask.write_all(line.as_bytes())?;
        let answer = self.answer()?;
        let took = |name: &str| answer[name].as_f64().context("llama.cpp told no time");
        Ok(Took {
            prefill: took("prefill_ms")?,
            decode: took("decode_ms")?,
            prefill_cpu: took("prefill_cpu_ms")?,
            decode_cpu: took("decode_cpu_ms")?,
        })
    }

    /// The next line that is an answer; its libraries may print others.
    fn answer(&mut self) -> anyhow::Result<Value> {
        loop {
            let line = self.answers.next().context("llama.cpp has ended")??;
            if let Ok(answer @ Value::Object(_)) = serde_json::from_str(&line) {
                return Ok(answer);
            }
        }
    }
}

impl Drop for Llama {
    fn drop(&mut self) {
        drop(self.process.kill()); // it may have ended
        drop(self.process.wait());
    }
}
