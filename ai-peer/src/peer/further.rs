//! What else follows from an answer, or from none: another engine is asked besides, or instead.

use crdt::margin::{self, Request, RequestState};
use model::Summary;

use super::desk::Desk;
use super::job::Way;
use super::new_id;
use crate::cascade::{Choice, Further};

/// After an answer: what the card says of who was not asked, and the request to whoever is asked as well.
pub(super) fn ask(
    desk: &Desk,
    request: &Request,
    way: &Way,
    summary: Option<&Summary>,
) -> (Option<String>, Option<Request>) {
    let (Some(cascade), Some(summary), true) = (&desk.config.cascade, summary, way.chosen) else {
        return (None, None);
    };
    match cascade.further(&desk.identity.id, &request.by.id, summary) {
        Further::Nothing => (None, None),
        Further::Kept(words) => (Some(words), None),
        Further::Ask(Choice { peer, why }) => {
            let further = Request {
                id: new_id(desk.now()),
                at: desk.now(),
                to: peer,
                state: RequestState::Open,
                lease: None,
                proposal: None,
                error: None,
                ..request.clone()
            };
            if let Some(why) = why {
                cascade.note(&further.id, why);
            }
            (None, Some(further))
        }
    }
}

/// Without an answer: gives the request to whoever stands in. Whether there is somebody.
pub(super) fn hand_over(desk: &Desk, request: &Request, way: &Way, error: &str) -> bool {
    let Some(cascade) = desk.config.cascade.as_ref().filter(|_| way.chosen) else {
        return false;
    };
    let Some(Choice { peer, why }) = cascade.instead(&desk.identity.id, error) else {
        return false;
    };
    if let Some(why) = why {
        cascade.note(&request.id, why);
    }
    desk.write(|txn| {
        let ours = margin::release(txn, &request.id, &desk.identity.id);
        if ours {
            let open = Request {
                to: peer,
                state: RequestState::Open,
                lease: None,
                ..request.clone()
            };
            margin::put_request(txn, &open);
        }
        ours
    })
}
