//! What takes longer than a request: adding and measuring models. Each has a thread of its own, tells how far it is, and can be
//! stopped.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use crate::clock;
use crate::error::ApiError;

/// The most that run at once: each reads and writes gigabytes.
const MAX_RUNNING: usize = 2;
/// The most that are remembered when they are over.
const MAX_OVER: usize = 12;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// A model is added.
    Add,
    /// A model's speed is measured.
    Measure,
    /// An adapter is added.
    Adapter,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Stand {
    /// It goes on.
    Running,
    /// It is done.
    Done,
    /// It did not work; `message` says why.
    Failed,
    /// Somebody stopped it.
    Stopped,
}

/// One of them, as it is told.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    pub(crate) id: String,
    kind: Kind,
    /// What was asked for, in the words of whoever asked.
    what: String,
    state: Stand,
    /// What is done now, for example a file's name.
    doing: String,
    /// Bytes that are done.
    done: u64,
    /// Bytes in all, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// Why it failed, or what came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The model or adapter that it led to.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

/// What a job led to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) model: String,
    pub(crate) message: Option<String>,
}

#[derive(Debug)]
struct Entry {
    job: Job,
    stop: watch::Sender<bool>,
}

/// All jobs of a relay, the newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Desk {
    jobs: Arc<Mutex<Vec<Entry>>>,
    /// Adapters that were removed in the life of this process.
    removed: Arc<Mutex<BTreeSet<String>>>,
}

/// What a job tells its progress with.
pub(crate) struct Pen {
    desk: Desk,
    id: String,
    stop: watch::Receiver<bool>,
}

impl Pen {
    /// Tells what is done and how far that is, in bytes. `false`: it is to stop.
    pub(crate) fn tell(&self, doing: &str, done: u64, total: Option<u64>) -> bool {
        self.desk.change(&self.id, |job| {
            if job.doing != doing {
                doing.clone_into(&mut job.doing);
            }
            (job.done, job.total) = (done, total);
        });
        !self.is_stopped()
    }

    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Resolves when it is to stop: for what waits for others, who may say nothing for long.
    pub(crate) async fn stopped(&self) {
        // An error says that nobody can stop it any more.
        if self.stop.clone().wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Desk {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an adapter was removed: the model may have read it, and knows it by its name.
    pub(crate) fn note_removed(&self, adapter: &str) {
        let mut removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        removed.insert(adapter.to_owned());
    }

    /// Whether an adapter of this name was removed since the start.
    pub(crate) fn was_removed(&self, adapter: &str) -> bool {
        let removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        removed.contains(adapter)
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Job)) {
        if let Some(entry) = self.entries().iter_mut().find(|entry| entry.job.id == id) {
            change(&mut entry.job);
        }
    }

    /// All of them, as they stand.
    pub(crate) fn jobs(&self) -> Vec<Job> {
        self.entries().iter().map(|entry| entry.job.clone()).collect()
    }

    /// Starts one. Its thread ends with it, or with the process: a half-made model has no name and is gone on with later.
    ///
    /// # Errors
    /// When too many are running, or the system gives no thread.
    pub(crate) fn start(
        &self,
        kind: Kind,
        what: &str,
        work: impl FnOnce(&Pen) -> Result<Outcome, ApiError> + Send + 'static,
    ) -> Result<Job, ApiError> {
        let (stop, stopped) = watch::channel(false);
        let job = Job {
            id: clock::ulid().to_string().to_lowercase(),
            kind,
            what: what.to_owned(),
            state: Stand::Running,
            doing: String::new(),
            done: 0,
            total: None,
            message: None,
            model: None,
        };
        {
            let mut entries = self.entries();
            let running = entries.iter().filter(|entry| entry.job.state == Stand::Running);
            if running.count() >= MAX_RUNNING {
                return Err(ApiError::busy(format!(
                    "{MAX_RUNNING} models are being added or measured already: wait for one of them, or stop it"
                )));
            }
            let job = job.clone();
            entries.insert(0, Entry { job, stop });
            let mut over = 0;
            entries.retain(|entry| {
                over += usize::from(entry.job.state != Stand::Running);
                entry.job.state == Stand::Running || over <= MAX_OVER
            });
        }
        let pen = Pen {
            desk: self.clone(),
            id: job.id.clone(),
            stop: stopped,
        };
        let thread = std::thread::Builder::new().name("models".into()).spawn(move || {
            let done = work(&pen);
            pen.desk.change(&pen.id, |job| match done {
                Ok(Outcome { model, message }) => {
                    (job.state, job.model, job.message) = (Stand::Done, Some(model), message);
                }
                Err(_) if pen.is_stopped() => job.state = Stand::Stopped,
                Err(error) => (job.state, job.message) = (Stand::Failed, Some(error.to_string())),
            });
        });
        if let Err(error) = thread {
            self.entries().retain(|entry| entry.job.id != job.id);
            return Err(ApiError::busy(format!(
                "this system gives no thread for it: {error}"
            )));
        }
        Ok(job)
    }

    /// Stops one that is running; one that is over is forgotten.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn end(&self, id: &str) -> Result<(), ApiError> {
        let mut entries = self.entries();
        let entry = entries.iter().position(|entry| entry.job.id == id);
        let Some(index) = entry else {
            return Err(ApiError::not_found("this is over and forgotten"));
        };
        let is_running = entries
            .get(index)
            .is_some_and(|entry| entry.job.state == Stand::Running);
        if is_running {
            if let Some(entry) = entries.get(index) {
                entry.stop.send_replace(true);
            }
        } else {
            entries.remove(index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn stand(desk: &Desk, id: &str) -> Option<Stand> {
        let jobs = desk.jobs();
        jobs.iter().find(|job| job.id == id).map(|job| job.state)
    }

    fn outcome() -> Outcome {
        Outcome {
            model: "m".into(),
            message: None,
        }
    }

    #[test]
    fn a_job_tells_how_far_it_is_and_is_stopped() {
        let desk = Desk::default();
        let (told, hear) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let job = desk
            .start(Kind::Add, "a/b", move |pen| {
                assert!(pen.tell("weights", 5, Some(10)));
                told.send(()).unwrap();
                wait.recv().unwrap();
                if pen.tell("weights", 6, Some(10)) {
                    Ok(outcome())
                } else {
                    Err(ApiError::bad_request("stopped"))
                }
            })
            .unwrap();
        hear.recv().unwrap();
        let now = desk.jobs().remove(0);
        assert_eq!(
            (now.doing.as_str(), now.done, now.total),
            ("weights", 5, Some(10))
        );
        desk.end(&job.id).unwrap();
        assert_eq!(
            stand(&desk, &job.id),
            Some(Stand::Running),
            "until it has heard of it"
        );
        go.send(()).unwrap();
        while stand(&desk, &job.id) == Some(Stand::Running) {
            std::thread::yield_now();
        }
        assert_eq!(stand(&desk, &job.id), Some(Stand::Stopped));
        desk.end(&job.id).unwrap();
        assert_eq!(stand(&desk, &job.id), None);
        assert!(desk.end(&job.id).is_err());
    }

    #[test]
    fn too_many_at_once_are_refused() {
        let desk = Desk::default();
        let (go, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let start = || {
            let wait = Arc::clone(&wait);
            desk.start(Kind::Add, "a/b", move |_| {
                wait.lock().unwrap().recv().unwrap();
                Ok(outcome())
            })
        };
        for _ in 0..MAX_RUNNING {
            start().unwrap();
        }
        assert!(start().is_err());
        for _ in 0..MAX_RUNNING {
            go.send(()).unwrap();
        }
        while desk.jobs().iter().any(|job| job.state == Stand::Running) {
            std::thread::yield_now();
        }
        assert!(desk.jobs().iter().all(|job| job.state == Stand::Done));
    }
}
