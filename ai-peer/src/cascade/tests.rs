use crdt::policy::Policy;
use model::{FinishReason, TokenScore};

use super::*;
use crate::privacy::Departure;

#[derive(Debug)]
struct Rule(Policy);

impl Warden for Rule {
    fn policy(&self) -> Policy {
        self.0.clone()
    }

    fn agreed(&self, person: &str, _: &str, _: Leave) -> bool {
        person == "ada"
    }

    fn record(&self, _: Departure) -> Result<(), String> {
        Ok(())
    }
}

fn engine(peer: &str, place: Option<Place>) -> Engine {
    Engine {
        peer: peer.into(),
        name: peer.to_uppercase(),
        place,
    }
}

fn cascade(engines: Vec<Engine>, leave: Leave) -> Cascade {
    let policy = Policy {
        leave,
        engines: vec!["BIG".into()],
    };
    let (_, engines) = watch::channel(engines);
    Cascade::new(engines, Arc::new(Rule(policy)), Thresholds::default())
}

fn both(leave: Leave) -> Cascade {
    cascade(
        vec![engine("small", None), engine("big", Some(Place::Internet))],
        leave,
    )
}

fn summary(logprob: f32) -> Summary {
    let score = TokenScore {
        text: " word".into(),
        logprob,
    };
    Summary {
        finish: FinishReason::EndToken,
        prompt_tokens: 1,
        reused_tokens: 0,
        tokens: 1,
        prefill_ms: 1,
        decode_ms: 1,
        mean_logprob: f64::from(logprob),
        scores: vec![score],
        drafts: model::Drafts::default(),
    }
}

#[test]
fn words_while_typing_stay_here_and_proposals_go_to_the_larger_one_that_may_be_asked() {
    let allowed = both(Leave::Masked);
    let typing = allowed.choose(RequestKind::Continue, "ada").unwrap();
    assert_eq!((typing.peer.as_str(), typing.why), ("small", None));
    let proposal = allowed.choose(RequestKind::Rewrite, "ada").unwrap();
    assert_eq!(proposal.peer, "big");
    assert_eq!(
        proposal.why.unwrap(),
        "Written by BIG on the internet; personal data was masked before the text left."
    );
    assert!(
        both(Leave::AsIs)
            .choose(RequestKind::Ask, "ada")
            .unwrap()
            .why
            .unwrap()
            .contains("as it is")
    );
    let kept = both(Leave::Nothing).choose(RequestKind::Rewrite, "ada").unwrap();
    assert_eq!(kept.peer, "small");
    assert_eq!(
        kept.why.unwrap(),
        "Written by SMALL on this machine; BIG would have been asked, but this document stays here."
    );
}

#[test]
fn an_engine_of_another_program_here_may_always_be_asked() {
    let cascade = cascade(
        vec![engine("small", None), engine("near", Some(Place::Machine))],
        Leave::Nothing,
    );
    let choice = cascade.choose(RequestKind::Ask, "ada").unwrap();
    assert_eq!(
        (choice.peer.as_str(), choice.why.unwrap().as_str()),
        ("near", "Written by NEAR on this machine.")
    );
}

#[test]
fn with_one_engine_there_is_no_choice_to_tell() {
    let alone = cascade(vec![engine("small", None)], Leave::Masked);
    assert_eq!(alone.choose(RequestKind::Ask, "ada").unwrap().why, None);
    assert_eq!(alone.further("small", "ada", &summary(-5.0)), Further::Nothing);
    let none = cascade(vec![engine("big", Some(Place::Internet))], Leave::Nothing);
    assert_eq!(none.choose(RequestKind::Ask, "ada"), None);
    let far = cascade(vec![engine("big", Some(Place::Internet))], Leave::AsIs);
    assert_eq!(far.choose(RequestKind::Continue, "ada").unwrap().peer, "big");
}

#[test]
fn who_was_not_sure_asks_further_where_it_may() {
    let (sure, unsure) = (summary(-0.1), summary(-5.0));
    let allowed = both(Leave::Masked);
    assert_eq!(allowed.further("small", "ada", &sure), Further::Nothing);
    let Further::Ask(choice) = allowed.further("small", "ada", &unsure) else {
        panic!("it is not asked")
    };
    assert_eq!(choice.peer, "big");
    assert!(
        choice
            .why
            .unwrap()
            .starts_with("SMALL was not sure (1 %). Written by BIG")
    );
    assert_eq!(allowed.further("big", "ada", &unsure), Further::Nothing);
    let Further::Kept(words) = both(Leave::Nothing).further("small", "ada", &unsure) else {
        panic!("it is not said")
    };
    assert!(
        words.contains("BIG would have been asked as well, but this document stays here"),
        "{words}"
    );
    // one bad word in a good answer
    let mut spotted = summary(-0.1);
    spotted.scores = [-0.01_f32, -0.01, -0.01, -0.01, -9.0, -9.0, -9.0, -9.0, -0.01]
        .map(|logprob| TokenScore {
            text: " w".into(),
            logprob,
        })
        .to_vec();
    assert!(matches!(
        allowed.further("small", "ada", &spotted),
        Further::Ask(_)
    ));
    // who tells nothing of its doubts is not judged
    spotted.scores.clear();
    assert_eq!(allowed.further("small", "ada", &spotted), Further::Nothing);
}

#[test]
fn who_fails_is_stood_in_for_by_the_model_here() {
    let cascade = both(Leave::AsIs);
    let choice = cascade.instead("big", "nobody answers").unwrap();
    assert_eq!(choice.peer, "small");
    assert!(
        choice
            .why
            .unwrap()
            .contains("BIG was asked first, and there was no answer: nobody answers.")
    );
    assert_eq!(cascade.instead("small", "x"), None);
    cascade.note("r", "why".into());
    let noted = || cascade.noted("r");
    assert_eq!(
        (noted(), noted()),
        (Some("why".into()), Some("why".into())),
        "also for who begins again"
    );
    assert_eq!(cascade.noted("other"), None);
}

#[test]
fn what_somebody_has_not_been_shown_stays_here() {
    let allowed = both(Leave::Masked);
    let kept = allowed.choose(RequestKind::Rewrite, "bob").unwrap();
    assert_eq!(kept.peer, "small");
    let why = kept.why.unwrap();
    assert!(
        why.contains(
            "BIG would have been asked, but whoever asked has not yet seen, and agreed to, what would leave"
        ),
        "{why}"
    );
    let Further::Kept(words) = allowed.further("small", "bob", &summary(-5.0)) else {
        panic!("it is not said")
    };
    assert!(words.contains("has not yet seen"), "{words}");
    // nobody else is there: the engine is asked, and its gate refuses
    let alone = cascade(vec![engine("big", Some(Place::Internet))], Leave::AsIs);
    assert_eq!(alone.choose(RequestKind::Ask, "bob"), None);
    let near = cascade(
        vec![engine("small", None), engine("near", Some(Place::Machine))],
        Leave::Nothing,
    );
    assert_eq!(near.choose(RequestKind::Ask, "bob").unwrap().peer, "near");
}
