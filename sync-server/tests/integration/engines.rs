//! Several engines in one document: its policy, what leaves and how, and who answers what.

use std::sync::Arc;
use std::time::Duration;

use ai_peer::Thresholds;
use ai_peer::privacy::Place;
use crdt::Node;
use crdt::anchor::Anchor;
use crdt::margin::{self, Person, Proposal, ProposalState, Request, RequestKind, RequestState};
use model::Generator;
use serde_json::{Value, json};
use sync_server::ai::{self, Seat};
use sync_server::{RelayConfig, clock};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use yrs::Transact;

use crate::ai::script::{Script, Step};
use crate::client::{Client, PATIENCE};
use crate::relay::{Served, config, eventually};
use crate::sharing::ask;
use crate::tokens::guarded;

pub(crate) const TEXT: &str = "It rained. Write to ada@example.org about it.";

/// How long a real engine may take on a busy machine.
const MINUTES: Duration = Duration::from_secs(300);

/// A person with a document open, and the engines that are there.
pub(crate) struct Scene {
    pub(crate) served: Served,
    pub(crate) doc: String,
    body: Client,
    pub(crate) margin: Client,
    seats: watch::Sender<Vec<Seat>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Scene {
    pub(crate) async fn start(seats: Vec<Seat>, thresholds: Thresholds) -> Self {
        Self::start_on(config(), seats, thresholds).await
    }

    pub(crate) async fn start_on(settings: RelayConfig, seats: Vec<Seat>, thresholds: Thresholds) -> Self {
        let served = Served::start(settings).await;
        let (_, made) = served.api("POST", "/documents", json!({"title": "Plan"})).await;
        let doc = made["id"].as_str().unwrap().to_owned();
        let (seats, seen) = watch::channel(seats);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(ai::attend_all(served.relay.clone(), seen, thresholds, async {
            drop(stopped.await);
        }));
        let mut body = Client::y(&served.ws(), &doc).await;
        crdt::content::fill(body.replica.doc(), &[Node::paragraph(TEXT)]).unwrap();
        body.flush().await.unwrap();
        let margin = Client::y(&served.ws(), &format!("{doc}~margin")).await;
        Self {
            served,
            doc,
            body,
            margin,
            seats,
            stop,
            task,
        }
    }

    pub(crate) async fn allow(&self, leave: &str, engines: &[&str]) {
        let path = format!("/documents/{}/privacy", self.doc);
        let policy = json!({"leave": leave, "engines": engines});
        assert_eq!(self.served.api("PUT", &path, policy).await.0, 200);
    }

    /// Says for Anna that she has been shown what leaves.
    pub(crate) async fn agree(&self, leave: &str, engines: &[&str]) {
        let path = format!("/documents/{}/privacy/agree?user=anna", self.doc);
        let seen = json!({"leave": leave, "engines": engines});
        let (status, said) = self.served.api("POST", &path, seen).await;
        assert_eq!((status, &said["agreed"]), (200, &json!(true)), "{said}");
    }

    /// Waits until exactly these engines have peers in the document.
    pub(crate) async fn see(&mut self, names: &[&str]) {
        self.body
            .until("the engines are there", |body| {
                let others = body.replica.awareness().others();
                let mut there: Vec<&str> = others
                    .filter(|(_, state)| state["user"]["kind"] == "ai")
                    .filter_map(|(_, state)| state["user"]["name"].as_str())
                    .collect();
                there.sort_unstable();
                there == names
            })
            .await;
    }

    pub(crate) async fn ask(&mut self, id: &str, kind: RequestKind) {
        let anchor = Anchor::for_words(&self.body.replica.doc().transact(), "It rained.").unwrap();
        let request = Request {
            id: id.to_owned(),
            kind,
            by: Person {
                id: "anna".into(),
                name: "Anna Gram".into(),
            },
            at: clock::now(),
            anchor,
            instruction: "Say it to Anna Gram (ada@example.org).".into(),
            to: String::new(),
            state: RequestState::Open,
            lease: None,
            proposal: None,
            error: None,
        };
        margin::put_request(&mut self.margin.replica.doc().transact_mut(), &request);
        self.margin.flush().await.unwrap();
    }

    /// Waits until so many proposals are complete.
    pub(crate) async fn answers(&mut self, count: usize) -> Vec<Proposal> {
        let complete = |margin: &Client| {
            let proposals = margin::proposals(&margin.replica.doc().transact());
            proposals.len() == count && proposals.iter().all(|one| one.state == ProposalState::Pending)
        };
        self.margin.until("it is answered", complete).await;
        margin::proposals(&self.margin.replica.doc().transact())
    }

    /// Waits until a request has an answer, or will have none.
    pub(crate) async fn settled(&mut self, id: &str) -> Option<Proposal> {
        let over = |margin: &Client| {
            let request = margin::request(&margin.replica.doc().transact(), id);
            request.is_some_and(|one| matches!(one.state, RequestState::Done | RequestState::Failed))
        };
        self.margin.until_within(MINUTES, "it is settled", over).await;
        let proposals = margin::proposals(&self.margin.replica.doc().transact());
        proposals
            .into_iter()
            .find(|one| one.request == id && one.state == ProposalState::Pending)
    }

    /// Why a request has no answer.
    pub(crate) fn refusal(&self, id: &str) -> String {
        let request = margin::request(&self.margin.replica.doc().transact(), id).unwrap();
        request.error.unwrap_or_default()
    }

    /// The requests that were put to an engine by another.
    pub(crate) fn further(&self) -> Vec<Request> {
        let requests = margin::requests(&self.margin.replica.doc().transact());
        requests.into_iter().filter(|one| one.id.len() == 26).collect()
    }

    pub(crate) async fn departures(&self) -> Vec<Value> {
        let path = format!("/documents/{}/departures", self.doc);
        let (status, list) = self.served.api("GET", &path, Value::Null).await;
        assert_eq!(status, 200);
        list.as_array().unwrap().clone()
    }

    pub(crate) async fn end(self) {
        drop(self.stop);
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
        drop(self.seats);
        self.served.stop().await;
    }
}

pub(crate) fn script(text: &'static str) -> Arc<Script> {
    Script::new(vec![vec![Step::Text(text), Step::Done]])
}

fn local(script: &Arc<Script>) -> Seat {
    Seat {
        name: "Small".into(),
        ..Seat::local(script.clone())
    }
}

pub(crate) fn far(script: &Arc<Script>) -> Seat {
    let generator: Arc<dyn Generator> = script.clone();
    Seat {
        name: "Big".into(),
        place: Some(Place::Internet),
        state: Ok(generator),
    }
}

/// Never asks further.
const SURE: Thresholds = Thresholds { mean: 0.0, span: 0.0 };

#[tokio::test]
async fn a_document_stays_here_until_its_owner_says_otherwise_and_again_afterwards() {
    let (small, big) = (script(" It poured."), script(" Tell [EMAIL_1] and [NAME_1]."));
    let mut scene = Scene::start(vec![local(&small), far(&big)], SURE).await;
    scene.see(&["Small"]).await;
    scene.ask("r1", RequestKind::Ask).await;
    let answers = scene.answers(1).await;
    assert_eq!(answers[0].author.name, "Small");
    let why = answers[0].rationale.clone().unwrap();
    assert!(
        why.starts_with(
            "Written by Small on this machine; Big would have been asked, but this document stays here."
        ),
        "{why}"
    );
    assert!(scene.departures().await.is_empty() && big.asked().is_empty());

    scene.allow("masked", &["Big"]).await;
    scene.agree("masked", &["Big"]).await;
    scene.see(&["Big", "Small"]).await;
    scene.ask("r2", RequestKind::Ask).await;
    let answers = scene.answers(2).await;
    let answer = answers.iter().find(|one| one.request == "r2").unwrap();
    assert_eq!(answer.author.name, "Big");
    assert_eq!(answer.author.device.as_deref(), Some("on the internet"));
    assert!(
        answer.payload.contains("ada@example.org and Anna Gram"),
        "{answer:?}"
    );
    assert!(
        answer
            .rationale
            .as_ref()
            .unwrap()
            .contains("Big on the internet; personal data was masked"),
        "{answer:?}"
    );
    let sent = format!("{:?}", big.asked());
    for personal in ["ada@example", "Anna", "Gram", "anna"] {
        assert!(!sent.contains(personal), "{personal} in {sent}");
    }
    assert!(
        sent.contains("It rained.") && sent.contains("[EMAIL_1]"),
        "{sent}"
    );
    let left = scene.departures().await;
    assert_eq!(left.len(), 1);
    assert_eq!(
        (
            &left[0]["by"],
            &left[0]["engine"],
            &left[0]["place"],
            &left[0]["leave"]
        ),
        (
            &json!("anna"),
            &json!("Big"),
            &json!("internet"),
            &json!("masked")
        )
    );
    assert_eq!(left[0]["masked"], json!({"e-mail address": 1, "name": 1}));
    assert!(left[0]["characters"].as_u64().unwrap() > 30);

    // while somebody types the small one writes
    scene.ask("r3", RequestKind::Continue).await;
    let answers = scene.answers(3).await;
    assert_eq!(
        answers
            .iter()
            .find(|one| one.request == "r3")
            .unwrap()
            .author
            .name,
        "Small"
    );

    scene.allow("nothing", &["Big"]).await;
    scene.see(&["Small"]).await;
    scene.ask("r4", RequestKind::Ask).await;
    let answers = scene.answers(4).await;
    assert_eq!(
        answers
            .iter()
            .find(|one| one.request == "r4")
            .unwrap()
            .author
            .name,
        "Small"
    );
    assert_eq!((scene.departures().await.len(), big.asked().len()), (1, 1));
    scene.end().await;
}

#[tokio::test]
async fn the_larger_one_is_asked_as_well_when_the_small_one_was_not_sure_and_it_may_be() {
    let (small, big) = (script(" It poured."), script(" It rained cats."));
    let unsure = Thresholds { mean: 1.0, span: 0.0 };
    let mut scene = Scene::start(vec![local(&small), far(&big)], unsure).await;
    scene.see(&["Small"]).await;
    scene.ask("r1", RequestKind::Continue).await;
    let kept = scene.answers(1).await.remove(0).rationale.unwrap();
    assert!(
        kept.contains("Big would have been asked as well, but this document stays here"),
        "{kept}"
    );
    scene.allow("asIs", &["Big"]).await;
    scene.agree("asIs", &["Big"]).await;
    scene.see(&["Big", "Small"]).await;
    scene.ask("r2", RequestKind::Continue).await;
    let answers = scene.answers(3).await;
    let by_big: Vec<_> = answers.iter().filter(|one| one.author.name == "Big").collect();
    assert_eq!(by_big.len(), 1);
    let why = by_big[0].rationale.as_ref().unwrap();
    assert!(
        why.starts_with("Small was not sure (61 %). Written by Big on the internet"),
        "{why}"
    );
    assert_eq!(by_big[0].requester.id, "anna");
    assert_eq!(scene.departures().await[0]["leave"], json!("asIs"));
    scene.end().await;
}

#[tokio::test]
async fn the_model_here_stands_in_for_one_that_fails() {
    let small = script(" It poured.");
    let big = Script::new(vec![vec![Step::Fail]]);
    let mut scene = Scene::start(vec![local(&small), far(&big)], SURE).await;
    scene.allow("asIs", &["Big"]).await;
    scene.agree("asIs", &["Big"]).await;
    scene.see(&["Big", "Small"]).await;
    scene.ask("r1", RequestKind::Ask).await;
    let answer = scene.answers(1).await.remove(0);
    assert_eq!(answer.author.name, "Small");
    let why = answer.rationale.unwrap();
    assert!(
        why.contains("Big was asked first, and there was no answer: the model failed: out of memory"),
        "{why}"
    );
    scene.end().await;
}

/// A client of another make writes a request into the margin, as it may: nothing leaves before whoever asks has agreed to what would.
#[tokio::test]
async fn nothing_leaves_that_the_asker_has_not_agreed_to_whichever_client_asks() {
    let big = script(" It poured.");
    let mut scene = Scene::start(vec![far(&big)], SURE).await;
    scene.allow("masked", &["Big"]).await;
    scene.see(&["Big"]).await;
    scene.ask("r1", RequestKind::Ask).await;
    assert_eq!(scene.settled("r1").await, None);
    let words = scene.refusal("r1");
    assert!(words.contains("nothing was sent to Big"), "{words}");

    let path = format!("/documents/{}/privacy", scene.doc);
    let agree = format!("{path}/agree?user=anna");
    let seen = |leave: &str, engines: &[&str]| json!({"leave": leave, "engines": engines});
    for other in [
        seen("asIs", &["Big"]),
        seen("masked", &["Other"]),
        seen("masked", &[]),
        json!({}),
    ] {
        let (status, said) = scene.served.api("POST", &agree, other).await;
        assert_eq!((status, &said["code"]), (409, &json!("conflict")), "{said}");
    }
    // somebody else's word is not Anna's
    let bob = format!("{path}/agree?user=bob");
    assert_eq!(
        scene.served.api("POST", &bob, seen("masked", &["Big"])).await.0,
        200
    );
    scene.ask("r2", RequestKind::Ask).await;
    assert_eq!(scene.settled("r2").await, None);
    assert!(big.asked().is_empty() && scene.departures().await.is_empty());

    scene.agree("masked", &["Big"]).await;
    scene.ask("r3", RequestKind::Ask).await;
    assert_eq!(scene.settled("r3").await.unwrap().author.name, "Big");
    // more may leave now than she was shown
    scene.allow("asIs", &["Big"]).await;
    let (_, now) = scene
        .served
        .api("GET", &format!("{path}?user=anna"), Value::Null)
        .await;
    assert_eq!(now["agreed"], json!(false));
    scene.ask("r4", RequestKind::Ask).await;
    assert_eq!(scene.settled("r4").await, None);
    assert_eq!((big.asked().len(), scene.departures().await.len()), (1, 1));
    scene.end().await;
}

/// With a model here the request is answered by that one, which says why.
#[tokio::test]
async fn the_model_here_answers_whoever_has_not_agreed() {
    let (small, big) = (script(" It poured."), script(" x"));
    let mut scene = Scene::start(vec![local(&small), far(&big)], SURE).await;
    scene.allow("asIs", &["Big"]).await;
    scene.see(&["Big", "Small"]).await;
    scene.ask("r1", RequestKind::Ask).await;
    let answer = scene.answers(1).await.remove(0);
    assert_eq!(answer.author.name, "Small");
    let why = answer.rationale.unwrap();
    assert!(
        why.contains("Big would have been asked, but whoever asked has not yet seen"),
        "{why}"
    );
    assert!(big.asked().is_empty());
    scene.end().await;
}

/// A document of this server that is open on another one: whoever is there agrees to what this one lets leave.
#[tokio::test]
async fn over_a_link_the_other_servers_policy_is_shown_and_agreed_to() {
    let big = script(" It poured.");
    let mut scene = Scene::start(vec![far(&big)], SURE).await;
    scene.allow("masked", &["Big"]).await;
    let desktop = Served::start(config()).await;
    let url = format!("http://127.0.0.1:{}/#/d/{}", scene.served.port, scene.doc);
    assert_eq!(desktop.api("POST", "/links", json!({"url": url})).await.0, 201);
    let path = format!("/documents/{}/privacy", scene.doc);
    let look = format!("{path}?user=anna");
    eventually("the link is up", || async {
        desktop.api("GET", &look, Value::Null).await.1["there"]["leave"] == "masked"
    })
    .await;
    let (_, seen) = desktop.api("GET", &look, Value::Null).await;
    assert_eq!(
        (&seen["leave"], &seen["there"]["agreed"]),
        (&json!("nothing"), &json!(false)),
        "{seen}"
    );
    let agree = format!("{path}/agree?user=anna");
    let wrong = json!({"leave": "asIs", "engines": ["Big"], "there": true});
    assert_eq!(desktop.api("POST", &agree, wrong).await.0, 409);
    let right = json!({"leave": "masked", "engines": ["Big"], "there": true});
    let (status, said) = desktop.api("POST", &agree, right).await;
    assert_eq!((status, &said["there"]["agreed"]), (200, &json!(true)), "{said}");
    scene.see(&["Big"]).await;
    scene.ask("r1", RequestKind::Ask).await;
    assert_eq!(scene.settled("r1").await.unwrap().author.name, "Big");
    desktop.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn only_owners_set_the_policy_and_read_what_has_left() {
    let served = Served::start(guarded()).await;
    let (_, made) = served.api("POST", "/documents", json!({"title": "Plan"})).await;
    let doc = made["id"].as_str().unwrap();
    let share = |role: &'static str| {
        let path = format!("/documents/{doc}/shares");
        let served = &served;
        async move {
            let (_, made) = served.api("POST", &path, json!({"role": role})).await;
            let url = made["url"].as_str().unwrap().to_owned();
            url.split_once("?key=").unwrap().1.to_owned()
        }
    };
    let (editor, viewer) = (share("editor").await, share("viewer").await);
    let (policy, list) = (
        format!("/documents/{doc}/privacy"),
        format!("/documents/{doc}/departures"),
    );
    let masked = json!({"leave": "masked", "engines": ["Big"]});
    assert_eq!(ask(&served, "PUT", &policy, &editor, masked.clone()).await.0, 403);
    assert_eq!(ask(&served, "GET", &list, &editor, Value::Null).await.0, 403);
    let (status, seen) = ask(&served, "GET", &policy, &viewer, Value::Null).await;
    assert_eq!(
        (status, &seen["leave"], &seen["maySet"]),
        (200, &json!("nothing"), &json!(false))
    );
    let (status, set) = ask(&served, "PUT", &policy, "own", masked).await;
    assert_eq!(
        (status, &set["engines"], &set["maySet"]),
        (200, &json!(["Big"]), &json!(true))
    );
    let (_, seen) = ask(&served, "GET", &policy, &editor, Value::Null).await;
    assert_eq!(seen["leave"], json!("masked"));
    for bad in [
        json!({}),
        json!({"leave": "all"}),
        json!({"leave": "masked", "engines": [""]}),
    ] {
        assert_eq!(ask(&served, "PUT", &policy, "own", bad).await.0, 400);
    }
    // no engine runs here: it is said
    let (status, said) = ask(&served, "GET", "/doctor", "own", Value::Null).await;
    assert_eq!(status, 404);
    assert!(said["message"].as_str().unwrap().contains("no engine"), "{said}");
    assert_eq!(ask(&served, "GET", "/doctor", &editor, Value::Null).await.0, 403);
    served.stop().await;
}

#[tokio::test]
async fn engines_are_listed_examined_and_previewed() {
    let (small, big) = (script(" It poured."), script(" x"));
    let broken = Seat {
        name: "Gone".into(),
        place: Some(Place::Network),
        state: Err("no engine answers at gpu.local".into()),
    };
    let scene = Scene::start(vec![local(&small), far(&big), broken], SURE).await;
    let path = format!("/documents/{}/privacy", scene.doc);
    let (_, seen) = scene.served.api("GET", &path, Value::Null).await;
    let available = seen["available"].as_array().unwrap();
    assert_eq!(
        available.len(),
        2,
        "the one in this program is not elsewhere: {seen}"
    );
    assert_eq!(
        (
            &available[0]["name"],
            &available[0]["placeWords"],
            &available[1]["problem"]
        ),
        (
            &json!("Big"),
            &json!("on the internet"),
            &json!("no engine answers at gpu.local")
        )
    );
    let (_, found) = scene
        .served
        .api(
            "POST",
            &format!("{path}/preview"),
            json!({"names": ["Anna Gram"]}),
        )
        .await;
    assert_eq!(found["spans"][0]["placeholder"], json!("[EMAIL_1]"));
    assert!(
        found["masked"]
            .as_str()
            .unwrap()
            .contains("Write to [EMAIL_1] about it."),
        "{found}"
    );
    let (status, reports) = scene.served.api("GET", "/doctor", Value::Null).await;
    assert_eq!(status, 200);
    let words: Vec<&str> = reports
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["words"].as_str())
        .collect();
    assert!(
        words[0].contains("Runs on   CPU") && words[0].contains("tokens a second"),
        "{words:?}"
    );
    assert_eq!(words[2], "no engine answers at gpu.local");
    let (_, status) = scene.served.api("GET", "/status", Value::Null).await;
    assert_eq!(status["models"].as_array().unwrap().len(), 3);
    assert_eq!(status["models"][1]["device"], json!("on the internet"));
    assert_eq!(status["models"][2]["devices"][0]["running"], json!(false));
    scene.end().await;
}
