//! A relay in this process on a port of its own.

use std::time::Duration;

use serde_json::Value;
use sync_server::{Access, Limits, Relay, RelayConfig, StorePath, UiSource, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A relay that is served.
pub(crate) struct Served {
    pub(crate) relay: Relay,
    pub(crate) port: u16,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// Limits for tests: what takes seconds for people takes milliseconds here.
pub(crate) fn quick() -> Limits {
    let mut limits = Limits::default();
    limits.linger = Duration::from_millis(50);
    limits.tick = Duration::from_millis(50);
    limits.uplink_backoff = Duration::from_millis(500);
    limits
}

/// A relay in memory, open to this machine.
pub(crate) fn config() -> RelayConfig {
    let mut config = RelayConfig::new(StorePath::Memory);
    config.access = Access {
        open_to_local: true,
        ..Access::default()
    };
    config.limits = quick();
    config.ui = UiSource::None;
    config
}

impl Served {
    pub(crate) async fn start(config: RelayConfig) -> Self {
        Self::start_on(config, 0).await
    }

    pub(crate) async fn start_on(config: RelayConfig, port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let relay = Relay::open(config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = relay.clone();
        let task = tokio::spawn(async move {
            let stopped = async {
                drop(stopped.await);
            };
            serve(served, listener, stopped).await.unwrap();
        });
        let served = Self {
            relay,
            port,
            stop: Some(stop),
            task,
        };
        eventually("it is served", || async {
            !served.api("GET", "/status", Value::Null).await.1["listening"].is_null()
        })
        .await;
        served
    }

    /// The address for WebSockets.
    pub(crate) fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// As a signal would stop the server; returns when everything is saved.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap();
    }

    /// Asks the REST interface as the owner.
    pub(crate) async fn api(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let answer = self.relay.api(method, path, body.into()).await;
        let json = serde_json::from_slice(&answer.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&answer.body).into_owned()));
        (answer.status, json)
    }
}

/// Waits until a condition of the relay's holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::client::PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"));
}
