//! How many connections and requests one address and one document may cost.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use crdt::ids::DocId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Caller;
use crate::error::ApiError;
use crate::limits::Limits;
use crate::outbox::Closing;
use crate::relay::Relay;
use crate::serve::Visitor;

/// Close code: too many connections, here or from one address. Trying again later is right. Private range, after HTTP's 429.
pub(crate) const CLOSE_TOO_MANY: u16 = 4529;

/// How many requests may come at once after a silence, in seconds' worth.
const BURST: f64 = 4.0;

/// How many addresses are remembered; beyond it, those that have been silent are forgotten.
const MAX_ADDRESSES: usize = 10_000;

/// A bucket that fills with time: each event takes one token out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    tokens: f64,
    at: Instant,
    rate: f64,
}

impl Bucket {
    /// A full bucket for `rate` events a second.
    pub(crate) fn new(rate: u32, now: Instant) -> Self {
        let rate = f64::from(rate.max(1));
        Self {
            tokens: rate * BURST,
            at: now,
            rate,
        }
    }

    /// Takes one event out. `Err`: how long it has to wait.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let full = self.rate * BURST;
        self.tokens = full.min(self.tokens + self.rate * now.duration_since(self.at).as_secs_f64());
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.rate))
    }

    fn is_full_at(&self, now: Instant) -> bool {
        self.tokens + self.rate * now.duration_since(self.at).as_secs_f64() >= self.rate * BURST
    }
}

/// Counts of a key; a key with none is not kept.
#[derive(Debug)]
struct Counts<K>(Mutex<HashMap<K, usize>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> Counts<K> {
    fn take(self: &Arc<Self>, key: K, most: usize) -> Option<Seat<K>> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.get(&key).is_some_and(|count| *count >= most) || most == 0 {
            return None;
        }
        *counts.entry(key.clone()).or_default() += 1;
        Some(Seat {
            counts: Arc::clone(self),
            key,
        })
    }
}

/// One place among those that a key may take; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat<K: Eq + Hash> {
    counts: Arc<Counts<K>>,
    key: K,
}

impl<K: Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// What addresses and documents cost now.
#[derive(Debug)]
pub(crate) struct Traffic {
    limits: Arc<Limits>,
    requests: Mutex<HashMap<IpAddr, Bucket>>,
    /// Bare connections, whatever is said on them.
    sockets: Arc<Counts<IpAddr>>,
    addresses: Arc<Counts<IpAddr>>,
    documents: Arc<Counts<DocId>>,
    strangers: Arc<Semaphore>,
}

impl Traffic {
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Self {
            requests: Mutex::default(),
            sockets: Arc::default(),
            addresses: Arc::default(),
            documents: Arc::default(),
            strangers: Arc::new(Semaphore::new(limits.unauthenticated_sockets)),
            limits,
        }
    }

    /// The place of a bare connection, before anything is read from it: twice as many as of those that are WebSockets, which
    /// are refused in words. `None`: there is none. Connections of this machine need no place.
    pub(crate) fn accept(&self, peer: SocketAddr) -> Option<Option<Seat<IpAddr>>> {
        let address = peer.ip().to_canonical();
        if address.is_loopback() {
            return Some(None);
        }
        let most = self.limits.connections_per_address.saturating_mul(2);
        self.sockets.take(group(address), most).map(Some)
    }

    /// A connection's place among those of its address. This machine itself is not counted.
    ///
    /// # Errors
    /// 429.
    pub(crate) fn connect(&self, address: Option<IpAddr>) -> Result<Option<Seat<IpAddr>>, ApiError> {
        let Some(address) = address else { return Ok(None) };
        let most = self.limits.connections_per_address;
        match self.addresses.take(group(address), most) {
            Some(seat) => Ok(Some(seat)),
            None => Err(ApiError::too_many(format!(
                "there are {most} connections from your address already: close some, or try again later"
            ))),
        }
    }

    /// A connection's place in a document.
    ///
    /// # Errors
    /// How the link is to be closed.
    pub(crate) fn sit_down(&self, doc: &DocId) -> Result<Seat<DocId>, Closing> {
        let most = self.limits.connections_per_document;
        self.documents.take(doc.clone(), most).ok_or_else(|| {
            let words = format!("{most} connections have this document open already: try again later");
            Closing::new(CLOSE_TOO_MANY, words)
        })
    }

    /// A place for somebody who has not said yet who they are.
    ///
    /// # Errors
    /// 503.
    pub(crate) fn wait(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.strangers)
            .try_acquire_owned()
            .map_err(|_| ApiError::busy("too many connections wait to sign in: try again in a moment"))
    }

    fn request(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() >= MAX_ADDRESSES {
            requests.retain(|_, bucket| !bucket.is_full_at(now));
            if requests.len() >= MAX_ADDRESSES {
                requests.clear(); // an attack from everywhere: better than memory without end
            }
        }
        let rate = self.limits.requests_per_second;
        requests
            .entry(group(address))
            .or_insert_with(|| Bucket::new(rate, now))
            .take(now)
    }
}

/// Whoever has one address of an IPv6 network has all of it.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The address that a request counts for; `None` for this machine itself. A proxy on this machine says for whom it speaks, as
/// the last entry of `X-Forwarded-For`, which it has added; from elsewhere the header is anybody's word.
pub(crate) fn address_of(peer: SocketAddr, headers: &HeaderMap) -> Option<IpAddr> {
    let peer = peer.ip().to_canonical();
    if !peer.is_loopback() {
        return Some(peer);
    }
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    let last = last.to_str().ok()?.rsplit(',').next()?.trim();
    let address = last.parse::<IpAddr>().ok()?.to_canonical();
    (!address.is_loopback()).then_some(address)
}

/// Refuses requests beyond [`Limits::requests_per_second`].
pub(crate) async fn slow_down(State(relay): State<Relay>, request: Request, next: Next) -> Response {
    use axum::response::IntoResponse;

    let visitor = request.extensions().get::<ConnectInfo<Visitor>>();
    let own = request.extensions().get::<Caller>() == Some(&Caller::Process);
    let address = visitor.and_then(|ConnectInfo(visitor)| address_of(visitor.address, request.headers()));
    if let Some(ConnectInfo(visitor)) = visitor {
        visitor.gate.heard();
    }
    if let Some(address) = address.filter(|_| !own)
        && let Err(wait) = relay.shared.traffic.request(address, Instant::now())
    {
        let words = "too many requests from your address: slow down";
        let mut answer = ApiError::too_many(words).into_response();
        let seconds = axum::http::HeaderValue::from(wait.as_secs() + 1);
        answer.headers_mut().insert("retry-after", seconds);
        return answer;
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        assert_eq!((0..100).filter(|_| bucket.take(start).is_ok()).count(), 40);
        assert!(bucket.take(start).unwrap_err() <= Duration::from_millis(100));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| bucket.take(later).is_ok()).count(), 10);
        assert!(!bucket.is_full_at(later) && bucket.is_full_at(later + Duration::from_secs(4)));
    }

    #[test]
    fn seats_are_given_back_and_nothing_is_kept_of_who_left() {
        let counts: Arc<Counts<u8>> = Arc::default();
        let seats: Vec<_> = (0..3).map_while(|_| counts.take(1, 2)).collect();
        assert_eq!(seats.len(), 2);
        assert!(counts.take(2, 2).is_some());
        drop(seats);
        assert!(counts.0.lock().unwrap().is_empty());
    }

    #[test]
    fn bare_connections_of_an_address_are_counted_too() {
        let limits = Limits {
            connections_per_address: 1,
            ..Limits::default()
        };
        let traffic = Traffic::new(Arc::new(limits));
        let peer = |address: &str| traffic.accept(address.parse().unwrap());
        let taken = [peer("192.0.2.1:1"), peer("192.0.2.1:2")];
        assert!(taken.iter().all(Option::is_some) && peer("192.0.2.1:3").is_none());
        assert!(peer("192.0.2.2:1").is_some());
        assert!((0..9).all(|port| peer(&format!("127.0.0.1:{port}")).is_some()));
        drop(taken);
        assert!(peer("192.0.2.1:4").is_some());
    }

    #[test]
    fn addresses_are_remembered_up_to_a_number() {
        let traffic = Traffic::new(Arc::new(Limits::default()));
        let now = Instant::now();
        for n in 0..30_000_u32 {
            traffic.request(IpAddr::from(n.to_be_bytes()), now).unwrap();
        }
        assert!(traffic.requests.lock().unwrap().len() <= MAX_ADDRESSES);
    }

    #[test]
    fn who_asks_is_the_peer_or_whom_a_local_proxy_names() {
        let of = |peer: &str, forwarded: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = forwarded {
                headers.insert("x-forwarded-for", value.parse().unwrap());
            }
            address_of(peer.parse().unwrap(), &headers).map(|address| group(address).to_string())
        };
        assert_eq!(of("127.0.0.1:1", None), None);
        assert_eq!(
            of("192.0.2.1:1", Some("198.51.100.7")).as_deref(),
            Some("192.0.2.1")
        );
        assert_eq!(
            of("127.0.0.1:1", Some("203.0.113.9, 198.51.100.7")).as_deref(),
            Some("198.51.100.7")
        );
        assert_eq!(
            of("[::1]:1", Some("2001:db8::1:2:3:4")).as_deref(),
            Some("2001:db8::")
        );
        assert_eq!(of("127.0.0.1:1", Some("nonsense")), None);
    }
}
