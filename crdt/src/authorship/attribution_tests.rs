//! Every character is its author's, whatever became of it: labelled edits, and what is read of them at the end.

use proptest::prelude::*;
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, Text, Transact, Update};

use super::{Attribution, Authorship, Credits};
use crate::anchor::Outline;
use crate::decision::Action;
use crate::decision::desk::Desk;
use crate::history;
use crate::ids::{Identity, PeerKind};
use crate::protocol::update::UpdateFacts;
use crate::{content, doc};

fn person(id: &str) -> Identity {
    Identity {
        id: id.to_owned(),
        name: id.to_uppercase(),
        kind: PeerKind::Human,
        model: None,
    }
}

/// What a relay keeps of a body: the document, and who wrote which ids.
struct Kept {
    body: Doc,
    authorship: Authorship,
    credits: Credits,
    next_client: u64,
}

impl Kept {
    fn new(first_client: u64) -> Self {
        Self {
            body: doc::open(1),
            authorship: Authorship::default(),
            credits: Credits::default(),
            next_client: first_client,
        }
    }

    /// Somebody edits a copy of their own; what comes in is recorded as theirs.
    fn edit<T>(&mut self, author: &str, edit: impl FnOnce(&Doc) -> T) -> T {
        self.next_client += 1;
        let copy = history::open(&history::state(&self.body), self.next_client).unwrap();
        let done = edit(&copy);
        self.learn(author, &copy);
        done
    }

    fn learn(&mut self, author: &str, copy: &Doc) {
        let state = self.body.transact().state_vector();
        let update = copy.transact().encode_diff_v1(&state);
        let new = UpdateFacts::scan(&update).unwrap().inserts_beyond(&state);
        self.authorship.record(&person(author), &new);
        self.body
            .transact_mut()
            .apply_update(Update::decode_v1(&update).unwrap())
            .unwrap();
    }

    fn attribution(&self) -> Attribution {
        Attribution::new(
            self.authorship.clone(),
            self.credits.clone(),
            &self.body.transact(),
        )
    }

    /// As a relay restores: whose the content was is recorded before the edit of whoever asks.
    fn restore(&mut self, author: &str, version: &[u8]) {
        let then = history::open(version, 2).unwrap();
        let again = self.edit(author, |copy| history::restore(copy, &then).unwrap());
        for (range, credit) in self.attribution_of(&then).credits(&again).iter() {
            self.credits.record(range, credit);
        }
    }

    fn attribution_of(&self, body: &Doc) -> Attribution {
        Attribution::new(self.authorship.clone(), self.credits.clone(), &body.transact())
    }

    fn copy(&self, author: &str) -> Self {
        let mut copied = Self::new(self.next_client + 1000);
        let again = copied.edit(author, |target| history::copy(&self.body, target).unwrap());
        copied.credits = self.attribution().credits(&again);
        copied
    }

    /// As a room that is opened again from its snapshot.
    fn reload(&mut self) {
        self.body = history::open(&history::state(&self.body), 1).unwrap();
    }

    /// The text of each block, and whose each unit is.
    fn read(&self) -> Vec<(String, Vec<Option<String>>)> {
        let txn = self.body.transact();
        let outline = Outline::read(&txn);
        let mut blocks: Vec<(String, Vec<Option<String>>)> = outline
            .blocks
            .iter()
            .map(|block| (outline.slice(block.range.clone()), vec![None; block.range.len()]))
            .collect();
        for run in self.attribution().runs(&txn) {
            for at in run.from..run.to {
                blocks[run.block].1[at as usize] = run.credit.as_ref().map(|credit| credit.author.id.clone());
            }
        }
        blocks
    }
}

/// One step of the plan, on numbers that are cut to what there is.
#[derive(Debug, Clone)]
enum Step {
    Type { author: usize, at: u16, len: u8 },
    NewBlock { author: usize, at: u8, list: bool },
    Delete { author: usize, at: u16, len: u8 },
    DropBlock { author: usize, at: u8 },
    Bold { author: usize, at: u16, len: u8 },
    Keep,
    Restore { author: usize, version: u8 },
    Reload,
    Copy { author: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let author = 0..AUTHORS.len();
    prop_oneof![
        6 => (author.clone(), any::<u16>(), 1..12_u8).prop_map(|(author, at, len)| Step::Type { author, at, len }),
        3 => (author.clone(), any::<u8>(), any::<bool>()).prop_map(|(author, at, list)| Step::NewBlock { author, at, list }),
        3 => (author.clone(), any::<u16>(), 1..9_u8).prop_map(|(author, at, len)| Step::Delete { author, at, len }),
        1 => (author.clone(), any::<u8>()).prop_map(|(author, at)| Step::DropBlock { author, at }),
        1 => (author.clone(), any::<u16>(), 1..9_u8).prop_map(|(author, at, len)| Step::Bold { author, at, len }),
        3 => Just(Step::Keep),
        2 => (author.clone(), any::<u8>()).prop_map(|(author, version)| Step::Restore { author, version }),
        1 => Just(Step::Reload),
        1 => author.prop_map(|author| Step::Copy { author }),
    ]
}

/// Each author types letters of their own, some of two units.
const AUTHORS: [(&str, [char; 3]); 4] = [
    ("ann", ['a', 'A', ' ']),
    ("bob", ['b', 'B', '𝔟']),
    ("cem", ['c', 'ç', '𝔠']),
    ("dée", ['d', 'D', '-']),
];

fn author_of(letter: char) -> &'static str {
    AUTHORS
        .iter()
        .find(|(_, letters)| letters.contains(&letter))
        .map(|(name, _)| *name)
        .unwrap()
}

/// A text of the body and an index in it that splits no character.
fn place(body: &Doc, at: u16) -> Option<(yrs::XmlTextRef, u32, u32)> {
    let txn = body.transact();
    let outline = Outline::read(&txn);
    let offset = usize::from(at) % (outline.len() + 1);
    let offset = outline.whole_characters(offset, false);
    let (text, index) = outline.text_at(offset)?;
    let len = text.len(&txn);
    Some((text, index, len))
}

fn whole(text: &yrs::XmlTextRef, body: &Doc, index: u32, len: u32) -> u32 {
    let units: Vec<u16> = content::read_text(text, &body.transact())
        .iter()
        .flat_map(|node| {
            node.text
                .clone()
                .unwrap_or_default()
                .encode_utf16()
                .collect::<Vec<_>>()
        })
        .collect();
    let mut end = (index + len).min(u32::try_from(units.len()).unwrap());
    while units
        .get(end as usize)
        .is_some_and(|unit| (0xDC00..0xE000).contains(unit))
    {
        end += 1;
    }
    end - index
}

fn run(kept: &mut Kept, versions: &mut Vec<Vec<u8>>, step: &Step) {
    match *step {
        Step::Type { author, at, len } => {
            let (name, letters) = AUTHORS[author];
            let words: String = letters.iter().cycle().take(usize::from(len)).collect();
            kept.edit(name, |body| {
                if let Some((text, index, _)) = place(body, at) {
                    text.insert(&mut body.transact_mut(), index, &words);
                }
            });
        }
        Step::NewBlock { author, at, list } => {
            let (name, letters) = AUTHORS[author];
            let paragraph = crate::Node::paragraph(&String::from_iter(letters));
            let block = if list {
                crate::Node::element(
                    "bulletList",
                    vec![crate::Node::element("listItem", vec![paragraph])],
                )
            } else {
                paragraph
            };
            kept.edit(name, |body| {
                let root = doc::fragment(body);
                let mut txn = body.transact_mut();
                let count = yrs::XmlFragment::len(&root, &txn);
                content::insert(&root, &mut txn, u32::from(at) % (count + 1), &[block]);
            });
        }
        Step::Delete { author, at, len } => kept.edit(AUTHORS[author].0, |body| {
            if let Some((text, index, _)) = place(body, at) {
                let len = whole(&text, body, index, u32::from(len));
                text.remove_range(&mut body.transact_mut(), index, len);
            }
        }),
        Step::DropBlock { author, at } => kept.edit(AUTHORS[author].0, |body| {
            let root = doc::fragment(body);
            let mut txn = body.transact_mut();
            let count = yrs::XmlFragment::len(&root, &txn);
            if count > 1 {
                yrs::XmlFragment::remove_range(&root, &mut txn, u32::from(at) % count, 1);
            }
        }),
        Step::Bold { author, at, len } => kept.edit(AUTHORS[author].0, |body| {
            if let Some((text, index, _)) = place(body, at) {
                let len = whole(&text, body, index, u32::from(len));
                let bold = [("bold".into(), yrs::Any::Map(std::sync::Arc::default()))];
                text.format(&mut body.transact_mut(), index, len, bold.into());
            }
        }),
        Step::Keep => versions.push(history::state(&kept.body)),
        Step::Restore { author, version } => {
            let Some(version) = versions.get(usize::from(version) % versions.len().max(1)) else {
                return;
            };
            kept.restore(AUTHORS[author].0, version);
            let then = history::open(version, 3).unwrap();
            assert_eq!(nodes(&kept.body), nodes(&then), "the text is that of the version");
        }
        Step::Reload => kept.reload(),
        Step::Copy { author } => {
            *kept = kept.copy(AUTHORS[author].0);
            versions.clear();
        }
    }
}

/// What is told in spans is what is told of each id.
fn agree(kept: &Kept) {
    let attribution = kept.attribution();
    let spans = attribution.spans();
    for (range, _) in kept.authorship.spans() {
        for clock in range.clock..range.clock + range.len {
            let holds = |span: &crate::ids::IdRange| {
                span.client == range.client && (span.clock..span.clock + span.len).contains(&clock)
            };
            let told: Vec<_> = spans.iter().filter(|(span, _)| holds(span)).collect();
            assert_eq!(told.len(), 1, "{range:?} {clock}");
            assert_eq!(Some(&told[0].1), attribution.of(range.client, clock).as_ref());
        }
    }
    let joined = |pair: &[(crate::ids::IdRange, super::Credit)]| {
        let [(one, is), (next, same)] = pair else {
            return false;
        };
        one.client == next.client && one.clock + one.len == next.clock && is == same
    };
    assert!(!spans.windows(2).any(joined), "no two spans could be one");
}

fn nodes(body: &Doc) -> Vec<crate::Node> {
    let root = doc::fragment(body);
    content::read(&root, &body.transact())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_character_is_its_authors_after_edits_restores_and_copies(steps in prop::collection::vec(step(), 1..40)) {
        let mut kept = Kept::new(100);
        kept.edit("ann", |body| content::fill(body, &[crate::Node::paragraph("aA a")]).unwrap());
        let mut versions = Vec::new();
        for step in &steps {
            run(&mut kept, &mut versions, step);
            agree(&kept);
            for (text, authors) in kept.read() {
                let mut unit = 0;
                for letter in text.chars() {
                    for _ in 0..letter.len_utf16() {
                        prop_assert_eq!(authors[unit].as_deref(), Some(author_of(letter)), "{:?} in {:?}", letter, &text);
                        unit += 1;
                    }
                }
            }
        }
    }
}

#[test]
fn an_accepted_proposal_stays_known_and_what_an_undo_puts_back_is_its_authors() {
    let mut desk = Desk::new("The cat sat on the mat.");
    let mut kept = Kept::new(100);
    kept.learn("writer", &desk.body);
    let proposal = desk.rewrite("cat sat", "dog lay");
    desk.accept(&proposal);
    kept.learn("me", &desk.body);
    agree(&kept);
    let credit_of = |kept: &Kept, words: &str| {
        let txn = kept.body.transact();
        let text = Outline::read(&txn).text();
        let at = u32::try_from(text.find(words).unwrap()).unwrap();
        let runs = kept.attribution().runs(&txn);
        let run = runs
            .into_iter()
            .find(|run| (run.from..run.to).contains(&at))
            .unwrap();
        run.credit.unwrap()
    };
    let dog = credit_of(&kept, "dog");
    let accepted = dog.accepted_from.clone().unwrap();
    assert_eq!(dog.author.id, "me");
    assert_eq!(
        (accepted.proposal.as_str(), accepted.accepted_by.id.as_str()),
        (proposal.as_str(), "me")
    );
    assert_eq!(accepted.proposed_by.unwrap().name, "Model");
    assert_eq!(credit_of(&kept, "mat").author.id, "writer");

    // A copy and a restore keep it.
    let version = history::state(&kept.body);
    let copy = kept.copy("copier");
    assert_eq!(credit_of(&copy, "dog"), dog);
    desk.erases("dog lay");
    kept.learn("me", &desk.body);
    kept.restore("restorer", &version);
    assert_eq!(credit_of(&kept, "dog"), dog);
    assert_eq!(credit_of(&kept, "on the").author.id, "writer");
}

#[test]
fn what_an_undo_puts_back_is_its_authors() {
    let mut desk = Desk::new("The cat sat on the mat.");
    let mut kept = Kept::new(100);
    kept.learn("writer", &desk.body);
    let proposal = desk.rewrite("cat sat", "dog lay");
    desk.accept(&proposal);
    kept.learn("me", &desk.body);
    desk.undo(&proposal);
    kept.learn("me", &desk.body);
    agree(&kept);
    let owners: Vec<_> = kept
        .attribution()
        .runs(&kept.body.transact())
        .into_iter()
        .map(|run| run.credit.unwrap().author.id)
        .collect();
    assert_eq!(owners, ["writer"], "all of it, as one run");
}

#[test]
fn nobody_puts_their_own_words_down_to_somebody_elses_decision() {
    let mut kept = Kept::new(100);
    let ids = kept.edit("mallory", |body| {
        content::fill(body, &[crate::Node::paragraph("mine")]).unwrap();
        let txn = body.transact();
        txn.state_vector().get(&body.client_id())
    });
    let client = kept.next_client;
    kept.edit("mallory", |body| {
        let forged = serde_json::json!({
            "proposal": "P1", "action": Action::Accept, "by": {"id": "ann", "name": "Ann"},
            "inserted": [{"client": client, "clock": 0, "len": ids}],
        });
        let root = doc::decisions(body);
        yrs::Map::insert(&root, &mut body.transact_mut(), "D1", content::to_any(&forged));
    });
    let runs = kept.attribution().runs(&kept.body.transact());
    let credit = runs[0].credit.as_ref().unwrap();
    assert_eq!(
        (credit.author.id.as_str(), &credit.accepted_from),
        ("mallory", &None)
    );
}
