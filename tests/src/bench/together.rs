//! Several requests at the same time, and one after the other.
use std::time::Instant;

use model::{ChatMessage, GenerateRequest, Generator as _, Priority, Worker};

use super::model::{TEXT, ratios};
use super::stats::{cpu_time, median, row};

/// Tokens that each writes.
const WRITTEN: usize = 48;

/// Words that each has read: about 150 tokens.
const WORDS: usize = 110;

/// Measures and prints. Neither worker tries drafts; `apart` answers one request after the other.
///
/// # Errors
/// When a generation fails.
pub async fn run(together: &Worker, apart: &Worker, windows: usize) -> anyhow::Result<()> {
    for people in [2, 4] {
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        for window in 0..windows {
            let mut took = [(0.0, 0.0); 2];
            let order = if window % 2 == 0 {
                [together, apart]
            } else {
                [apart, together]
            };
            for worker in order {
                took[usize::from(std::ptr::eq(worker, apart))] = all(worker, people, window).await?;
            }
            wall.push(took[1].0 / took[0].0);
            cpu.push(took[1].1 / took[0].1);
        }
        row(
            &format!("{people} answers at once, to one after the other"),
            &ratios(wall),
            "more than 1",
        );
        row("  by CPU time", &ratios(cpu), "");
    }
    ghost(together, apart, windows).await
}

fn request(person: usize, window: usize, tokens: usize) -> GenerateRequest {
    let start = window * 50 + person * 400;
    let words: Vec<&str> = TEXT.split_whitespace().cycle().skip(start).take(WORDS).collect();
    let mut request = GenerateRequest::greedy(vec![ChatMessage::user(words.join(" "))], tokens);
    request.answer_prefix = Some("The story goes on: the".to_owned());
    request.turn.requester = person.to_string();
    request
}

/// Seconds until all of them have written, after they were read: by the clock, and of all threads of this process.
async fn all(worker: &Worker, people: usize, window: usize) -> anyhow::Result<(f64, f64)> {
    for person in 0..people {
        worker.generate(request(person, window, 1))?.collect().await?;
    }
    let cpu = || cpu_time(std::process::id()).unwrap_or_default().as_secs_f64();
    let (began, before) = (Instant::now(), cpu());
    let mut running = Vec::new();
    for person in 0..people {
        running.push(worker.generate(request(person, window, WRITTEN))?);
    }
    for generation in running {
        generation.collect().await?;
    }
    Ok((began.elapsed().as_secs_f64(), cpu() - before))
}

/// What somebody waits for while typing, when a proposal is being written for somebody else.
async fn ghost(together: &Worker, apart: &Worker, windows: usize) -> anyhow::Result<()> {
    let mut took = [Vec::new(), Vec::new(), Vec::new()];
    for window in 0..windows {
        for (index, (worker, is_busy)) in [(together, false), (together, true), (apart, true)]
            .into_iter()
            .enumerate()
        {
            let mut typing = request(1, window, 8);
            if std::ptr::eq(worker, together) {
                typing.turn.priority = Priority::Typing;
            }
            // what was read of the document is there, but for the last words
            worker.generate(request(1, window, 1))?.collect().await?;
            let proposal = if is_busy {
                let mut generation = worker.generate(request(0, window, 4 * WRITTEN))?;
                generation.next().await;
                Some(generation)
            } else {
                None
            };
            let began = Instant::now();
            worker.generate(typing)?.collect().await?;
            took[index].push(began.elapsed().as_secs_f64() * 1000.0);
            drop(proposal);
        }
    }
    let [alone, beside, after] = took.map(|mut times| {
        times.sort_by(f64::total_cmp);
        median(&times)
    });
    row(
        "8 tokens for who types",
        &format!(
            "{alone:.0} ms; {beside:.0} ms while a proposal is written ({after:.0} ms if it came after)"
        ),
        "",
    );
    Ok(())
}
