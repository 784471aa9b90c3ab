use crdt::policy::Agreement;
use model::{ChatMessage, DeviceReport, FinishReason, GenerationSender, Summary};

use super::*;

/// A model that notes what it is asked, and answers in these pieces.
#[derive(Debug)]
struct Parrot {
    info: ModelInfo,
    pieces: Vec<&'static str>,
    asked: Mutex<Vec<GenerateRequest>>,
    senders: Mutex<Vec<GenerationSender>>,
    /// How often it says that it is busy first.
    busy: Mutex<usize>,
}

impl Parrot {
    fn new(pieces: &[&'static str]) -> Arc<Self> {
        Arc::new(Self {
            info: ModelInfo {
                id: "parrot".into(),
                name: "Parrot".into(),
                licence: None,
                quantisation: "none".into(),
                context_length: 4096,
                device: DeviceReport::remote("far.example".into()),
                prefill_tokens_per_second: 1.0,
                decode_tokens_per_second: 1.0,
                load_ms: 0,
            },
            pieces: pieces.to_vec(),
            asked: Mutex::default(),
            senders: Mutex::default(),
            busy: Mutex::default(),
        })
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .map(|request| {
                format!(
                    "{:?} {:?} {:?}",
                    request.messages, request.answer_prefix, request.turn
                )
            })
            .collect()
    }
}

impl Generator for Parrot {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.len()
    }

    fn generate(&self, request: GenerateRequest) -> Result<Generation, GenerateError> {
        let mut busy = self.busy.lock().unwrap();
        if *busy > 0 {
            *busy -= 1;
            return Err(GenerateError::Busy {
                waiting: 1,
                seconds: 1,
            });
        }
        self.asked.lock().unwrap().push(request);
        let (sender, generation) = Generation::channel(64);
        self.senders.lock().unwrap().push(sender.clone());
        let pieces = self.pieces.clone();
        tokio::spawn(async move {
            for piece in pieces {
                sender.send(Ok(Chunk::Text(piece.to_owned()))).await.ok();
            }
            let done = Summary {
                finish: FinishReason::EndToken,
                prompt_tokens: 1,
                reused_tokens: 0,
                tokens: 1,
                prefill_ms: 1,
                decode_ms: 1,
                mean_logprob: 0.0,
                scores: vec![],
                drafts: model::Drafts::default(),
            };
            sender.send(Ok(Chunk::Done(done))).await.ok();
        });
        Ok(generation)
    }
}

#[derive(Debug, Default)]
struct Book {
    policy: Mutex<Policy>,
    list: Mutex<Vec<Departure>>,
    agreed: Mutex<Option<Agreement>>,
    broken: bool,
}

impl Warden for Book {
    fn policy(&self) -> Policy {
        self.policy.lock().unwrap().clone()
    }

    fn agreed(&self, person: &str, engine: &str, leave: Leave) -> bool {
        let agreed = self.agreed.lock().unwrap();
        person == "u-1" && agreed.as_ref().is_some_and(|agreed| agreed.covers(engine, leave))
    }

    fn record(&self, departure: Departure) -> Result<(), String> {
        if self.broken {
            return Err("the disk is full".into());
        }
        self.list.lock().unwrap().push(departure);
        Ok(())
    }
}

fn book(leave: Leave) -> Arc<Book> {
    Arc::new(Book {
        policy: Mutex::new(Policy {
            leave,
            engines: vec!["Big".into()],
        }),
        agreed: Mutex::new(Some(Agreement {
            leave,
            engines: vec!["Big".into()],
        })),
        ..Book::default()
    })
}

fn gate(parrot: &Arc<Parrot>, place: Place, book: &Arc<Book>) -> Gate {
    let known = Known::default();
    known.learn(
        ["Ada Lovelace".to_owned()],
        "Pay DE89 3704 0044 0532 0130 00 soon.".to_owned(),
    );
    Gate::new(parrot.clone(), "Big".into(), place, book.clone(), known)
}

fn request(text: &str) -> GenerateRequest {
    let mut request = GenerateRequest::greedy(vec![ChatMessage::user(text)], 20);
    request.turn.requester = "u-1".into();
    request
}

#[tokio::test]
async fn what_the_policy_forbids_is_refused_in_words_and_nothing_is_sent() {
    let (parrot, book) = (Parrot::new(&["x"]), book(Leave::Nothing));
    let error = gate(&parrot, Place::Internet, &book)
        .generate(request("hello"))
        .unwrap_err();
    let words = error.to_string();
    assert!(
        words.contains("Big runs on the internet") && words.contains("its owner can change that"),
        "{words}"
    );
    assert!(parrot.asked().is_empty() && book.list.lock().unwrap().is_empty());

    // an engine that is not named
    book.policy.lock().unwrap().leave = Leave::AsIs;
    book.policy.lock().unwrap().engines = vec!["Other".into()];
    assert!(
        gate(&parrot, Place::Network, &book)
            .generate(request("hello"))
            .is_err()
    );
    // on this machine nothing leaves
    assert!(
        gate(&parrot, Place::Machine, &book)
            .generate(request("hello"))
            .is_ok()
    );
    assert!(book.list.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_leaves_is_masked_noted_and_put_back_over_cuts() {
    let pieces = ["Dear [NA", "ME_1], write to [", "EMAIL_1", "] or [email_1]."];
    let (parrot, book) = (Parrot::new(&pieces), book(Leave::Masked));
    let gate = gate(&parrot, Place::Internet, &book);
    let mut request = request("Ada Lovelace (ada@example.org, ada@example.org) pays from ...532 0130 00.");
    request.answer_prefix = Some("Ada Lovelace".into());
    let (text, _) = gate.generate(request).unwrap().collect().await.unwrap();
    assert_eq!(
        text,
        "Dear Ada Lovelace, write to ada@example.org or ada@example.org."
    );
    let sent = parrot.asked().concat();
    for personal in ["Ada", "Lovelace", "ada@", "example", "532", "0130", "u-1"] {
        assert!(!sent.contains(personal), "{personal} in {sent}");
    }
    let list = book.list.lock().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(
        (list[0].by.as_str(), list[0].engine.as_str(), list[0].leave),
        ("u-1", "Big", Leave::Masked)
    );
    assert!(list[0].characters > 40, "{list:?}");
    assert_eq!(
        list[0].masked,
        [(Kind::Email, 1), (Kind::Name, 1), (Kind::Part, 1)].into(),
        "each thing once"
    );
}

#[tokio::test]
async fn a_departure_that_cannot_be_noted_does_not_happen() {
    for leave in [Leave::Masked, Leave::AsIs] {
        let parrot = Parrot::new(&["x"]);
        let book = Arc::new(Book {
            broken: true,
            policy: Mutex::new(book(leave).policy()),
            agreed: Mutex::new(book(leave).agreed.lock().unwrap().take()),
            ..Book::default()
        });
        let words = gate(&parrot, Place::Network, &book)
            .generate(request("hello"))
            .unwrap_err()
            .to_string();
        assert!(
            words.contains("nothing was sent") && words.contains("the disk is full"),
            "{words}"
        );
        assert!(parrot.asked().is_empty());
    }
}

#[tokio::test]
async fn dropping_a_masked_answer_stops_the_engine() {
    let (parrot, book) = (Parrot::new(&[]), book(Leave::Masked));
    let generation = gate(&parrot, Place::Internet, &book)
        .generate(request("hello"))
        .unwrap();
    drop(generation);
    let sender = parrot.senders.lock().unwrap()[0].clone();
    sender.cancelled().await;
}

#[tokio::test]
async fn what_is_tried_again_because_the_engine_was_busy_is_listed_once() {
    for leave in [Leave::Masked, Leave::AsIs] {
        let (parrot, book) = (Parrot::new(&["x"]), book(leave));
        *parrot.busy.lock().unwrap() = 3;
        let gate = gate(&parrot, Place::Internet, &book);
        for _ in 0..3 {
            assert!(gate.generate(request("hello")).is_err());
        }
        assert!(gate.generate(request("hello")).is_ok());
        assert_eq!((book.list.lock().unwrap().len(), parrot.asked().len()), (1, 1));
        assert!(gate.generate(request("hello")).is_ok());
        assert_eq!(book.list.lock().unwrap().len(), 2, "sent again, listed again");
    }
}

#[tokio::test]
async fn nothing_leaves_that_whoever_asks_has_not_been_shown() {
    for leave in [Leave::Masked, Leave::AsIs] {
        let (parrot, book) = (Parrot::new(&["x"]), book(leave));
        let gate = gate(&parrot, Place::Internet, &book);
        let mut other = request("hello");
        other.turn.requester = "u-2".into();
        let mut nobody = request("hello");
        nobody.turn.requester.clear();
        for unseen in [other, nobody] {
            let words = gate.generate(unseen).unwrap_err().to_string();
            assert!(
                words.contains("nothing was sent to Big") && words.contains("agreed"),
                "{words}"
            );
        }
        // more may leave now than was agreed to, or to another
        for less in [
            Agreement {
                leave: Leave::Nothing,
                engines: vec!["Big".into()],
            },
            Agreement {
                leave,
                engines: vec!["Other".into()],
            },
        ] {
            *book.agreed.lock().unwrap() = Some(less);
            assert!(gate.generate(request("hello")).is_err());
        }
        assert!(parrot.asked().is_empty() && book.list.lock().unwrap().is_empty());
        *book.agreed.lock().unwrap() = Some(Agreement {
            leave: Leave::AsIs,
            engines: vec!["Big".into()],
        });
        assert!(gate.generate(request("hello")).is_ok());
        *book.agreed.lock().unwrap() = None;
        assert!(
            gate.generate(request("hello")).is_err(),
            "and again when it is taken back"
        );
        assert_eq!(parrot.asked().len(), 1);
    }
}
