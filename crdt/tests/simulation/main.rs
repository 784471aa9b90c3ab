//! A document with everybody around it, from a seed: people and models with their windows, one relay or two with a link
//! between them, stores that lose what they have not written, links that break, roles and clocks that change. All eight
//! invariants of ARCHITECTURE.md are checked, some after each event, the others when everything has come to rest.
//!
//! A failed run is cut down and prints the line that repeats it. `SEEDS=20000` runs more, `SEED=7` only that one, `STEPS=…`
//! is a run's length, `PLAN=file.json` runs a plan that was kept. Plans in `crdt/tests/plans` are run each time.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod ai;
mod client;
#[path = "../common/cut.rs"]
mod cut;
#[path = "../common/hands.rs"]
mod hands;
#[path = "../common/moment.rs"]
mod moment;
#[path = "../common/payloads.rs"]
mod payloads;
mod plan;
mod rest;
mod run;
mod site;
mod watch;
mod world;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cut::{quietly, setting};
use plan::Plan;
use run::{Fault, run};
use watch::Tally;

const SEEDS: u64 = 250;
const STEPS: usize = 300;

fn check(plan: &Plan) -> Tally {
    let error = match quietly(|| run(plan, Fault::None)) {
        Ok(tally) => return tally,
        Err(error) => error,
    };
    let small = quietly(|| plan.cut_down(|part| run(part, Fault::None).is_err()));
    let why = quietly(|| run(&small, Fault::None)).expect_err("it failed");
    let (file, json) = keep(&small);
    panic!(
        "SEED={} STEPS={} cargo nextest run -p crdt --test simulation\n{error}\ncut down to {} steps: {why}\n{json}\n\
         PLAN={} cargo nextest run -p crdt --test simulation  (once it is understood, keep it in crdt/tests/plans)",
        plan.seed,
        plan.steps.len(),
        small.steps.len(),
        file.display(),
    );
}

/// Writes a plan where the next build does not take it away.
fn keep(plan: &Plan) -> (PathBuf, String) {
    let json = serde_json::to_string(plan).expect("a plan is JSON");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("simulation-{}.json", plan.seed));
    let written = std::fs::File::create(&file).and_then(|mut file| file.write_all(json.as_bytes()));
    written.expect("the target folder can be written");
    (file, json)
}

fn read(file: &Path) -> Plan {
    let json = std::fs::read_to_string(file).expect("the plan is there");
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{} is no plan: {error}", file.display()))
}

#[test]
fn the_invariants_hold_whatever_happens() {
    if let Some(file) = setting::<PathBuf>("PLAN") {
        check(&read(&file));
        return;
    }
    let steps = setting("STEPS").unwrap_or(STEPS);
    let first: Option<u64> = setting("SEED");
    let count = setting("SEEDS").unwrap_or(first.map_or(SEEDS, |_| 1));
    let first = first.unwrap_or(0);
    let began = Instant::now();
    let mut sum = Tally::default();
    for seed in first..first + count {
        sum.add(&check(&Plan::random(seed, steps)));
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{count} runs of {steps} steps in {seconds:.1} s, {:.0} a second: {sum:?}",
        count as f64 / seconds
    );
    if count >= 200 && steps >= STEPS {
        // Runs in which nothing happens prove nothing.
        let enough = sum.accepts > 200
            && sum.undos > 20
            && sum.exact_undos > 5
            && sum.rejections > 20
            && sum.refusals > 200
            && sum.streamed > 50
            && sum.repairs > 2
            && sum.crashes > 400;
        assert!(enough, "{sum:?}");
    }
}

/// Plans that failed once, and some that go where chance seldom does.
#[test]
fn the_plans_that_were_kept_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut plans = 0;
    for entry in std::fs::read_dir(folder).expect("there are plans") {
        let file = entry.expect("it can be read").path();
        if file.extension().is_some_and(|kind| kind == "json") {
            plans += 1;
            let plan = read(&file);
            if let Err(error) = quietly(|| run(&plan, Fault::None)) {
                panic!("{}: {error}", file.display());
            }
        }
    }
    assert!(plans > 0);
}

/// The same plan is the same run.
#[test]
fn a_run_is_repeated_by_its_seed() {
    let plan = Plan::random(3, STEPS);
    let tallies: Vec<String> = (0..2).map(|_| format!("{:?}", run(&plan, Fault::None))).collect();
    assert_eq!(tallies[0], tallies[1]);
    let json = serde_json::to_string(&plan).expect("a plan is JSON");
    assert_eq!(serde_json::from_str::<Plan>(&json).expect("it was written"), plan);
}

/// The harness has to notice what it is there for.
#[test]
fn mistakes_that_are_made_on_purpose_are_noticed() {
    for (fault, words) in [
        (Fault::DropSomeUpdates, ""),
        (Fault::AcknowledgeEarly, "saved, and"),
        (Fault::StoreForgets, "after a restart"),
        (Fault::AiMayWrite, "a model wrote the body"),
        (Fault::RoleIsForgotten, "changed the"),
        (Fault::OpeningWrites, "made an edit"),
    ] {
        let noticed = quietly(|| {
            (0..100)
                .map(|seed| Plan::random(seed, STEPS))
                .find(|plan| run(plan, fault).is_err_and(|error| error.contains(words)))
        });
        let plan = noticed.unwrap_or_else(|| panic!("{fault:?} went unnoticed"));
        assert!(
            quietly(|| run(&plan, Fault::None)).is_ok(),
            "{fault:?}: the plan fails without it as well"
        );
        let small =
            quietly(|| plan.cut_down(|part| run(part, fault).is_err_and(|error| error.contains(words))));
        println!("{fault:?}: {} steps", small.steps.len());
        assert!(
            small.steps.len() <= 70,
            "{fault:?} was cut down to {} steps only: {small:?}",
            small.steps.len()
        );
    }
}
