//! Clients that leave, edit offline and return: do all copies end up the same, with everything in them?

use std::time::Duration;

use anyhow::ensure;
use yrs::updates::decoder::Decode as _;
use yrs::updates::encoder::Encode as _;
use yrs::{Doc, GetString as _, ReadTxn as _, StateVector, Text as _, Transact as _, Update};

use super::super::candidate::Candidate;
use super::super::load::client::{Address, Incoming, Receiver, Sender, connect_with};
use super::super::load::letters::ROOT;
use super::{Measures, Plan, Row};

const DOCUMENTS: usize = 10;
const PEOPLE: usize = 3;
/// Absences of each person.
const ABSENCES: usize = 3;
/// How long copies may take to become the same.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs it against one server with client ids of 32 and of 53 bits.
///
/// # Errors
/// When a connection is closed.
pub(super) async fn run(candidate: &Candidate, plan: &Plan) -> anyhow::Result<Measures> {
    let data = tempfile::tempdir()?;
    let server = candidate.start(data.path(), plan.pinned)?;
    let mut measures = Vec::new();
    for (row, bits) in [(Row::Churn32, 32), (Row::Churn53, 53)] {
        let documents = (0..DOCUMENTS).map(|document| {
            let address = server.address(&format!("churn-{bits}-{document}"));
            converges(address, (1_u64 << bits) - 1 - (document * PEOPLE) as u64)
        });
        let same = futures_util::future::try_join_all(documents).await?;
        let share = same.iter().filter(|same| **same).count() as f64 / DOCUMENTS as f64;
        measures.push((row, share * 100.0));
    }
    Ok(measures)
}

/// A person's copy, and the connection when there is one.
struct Person {
    doc: Doc,
    link: Option<(Sender, Receiver)>,
}

async fn converges(address: Address, highest: u64) -> anyhow::Result<bool> {
    let mut people: Vec<Person> = (0..PEOPLE as u64)
        .map(|me| Person {
            doc: Doc::with_client_id(highest - me),
            link: None,
        })
        .collect();
    let mut words = 0;
    for turn in 0..PEOPLE * ABSENCES {
        let away = turn % PEOPLE;
        for (me, person) in people.iter_mut().enumerate() {
            if me == away {
                person.link = None;
            } else {
                person.connect(&address).await?;
            }
        }
        for (me, person) in people.iter_mut().enumerate() {
            person.write(&format!("[{me}.{turn}]")).await?;
            words += 1;
        }
        for person in &mut people {
            person.connect(&address).await?;
        }
    }
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let texts: Vec<String> = people.iter().map(Person::text).collect();
        let same = texts.iter().all(|text| *text == texts[0]);
        if same && texts[0].matches('[').count() == words {
            return Ok(true);
        }
        if tokio::time::Instant::now() >= end {
            return Ok(false);
        }
        for person in &mut people {
            person.take_in(Duration::from_millis(20)).await?;
        }
    }
}

impl Person {
    fn text(&self) -> String {
        let text = self.doc.get_or_insert_text(ROOT);
        text.get_string(&self.doc.transact())
    }

    async fn connect(&mut self, address: &Address) -> anyhow::Result<()> {
        if self.link.is_none() {
            let state = self.doc.transact().state_vector().encode_v1();
            self.link = Some(connect_with(address, &state).await?);
        }
        self.take_in(Duration::from_millis(20)).await
    }

    /// Puts a word at the end, and sends it when there is somebody to send it to.
    async fn write(&mut self, word: &str) -> anyhow::Result<()> {
        let before = self.doc.transact().state_vector();
        let text = self.doc.get_or_insert_text(ROOT);
        {
            let mut txn = self.doc.transact_mut();
            let end = text.len(&txn);
            text.insert(&mut txn, end, word);
        }
        if let Some((sender, _)) = &self.link {
            let update = self.doc.transact().encode_diff_v1(&before);
            sender.update(&update).await?;
        }
        Ok(())
    }

    /// Takes in what comes, and answers, until nothing came for `silence`.
    async fn take_in(&mut self, silence: Duration) -> anyhow::Result<()> {
        let Some((sender, receiver)) = &mut self.link else {
            return Ok(());
        };
        while let Ok(incoming) = tokio::time::timeout(silence, receiver.next()).await {
            match incoming? {
                Incoming::Step1(state) => {
                    let state = StateVector::decode_v1(state)?;
                    let missing = self.doc.transact().encode_diff_v1(&state);
                    sender.step_2(&missing).await?;
                }
                Incoming::Step2(update) | Incoming::Update(update) => {
                    self.doc.transact_mut().apply_update(Update::decode_v1(update)?)?;
                }
                Incoming::Status(taken) => ensure!(taken, "an edit was refused"),
                Incoming::Other => {}
            }
        }
        Ok(())
    }
}
