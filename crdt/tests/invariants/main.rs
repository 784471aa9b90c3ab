//! The invariants of proposals and decisions, held against random plans: several replicas that type, delete, format, break
//! and join blocks, propose, accept, reject and undo, apart and together, and then all meet.
//!
//! A failed run prints the line that repeats it. `SEEDS=20000` runs more, `SEED=7` only that one, `STEPS` and `PEERS` are a
//! run's size; `PLAN=file.json` runs a plan that was printed.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]

#[path = "../common/cut.rs"]
mod cut;
mod door;
#[path = "../common/hands.rs"]
mod hands;
#[path = "../common/moment.rs"]
mod moment;
#[path = "../common/payloads.rs"]
mod payloads;
mod plan;
mod run;
mod world;

use std::time::Instant;

use cut::{quietly, setting};
use plan::Plan;
use run::{Fault, Tally, run};

const SEEDS: u64 = 300;
const STEPS: usize = 60;
const PEERS: u8 = 3;

fn plan_of(seed: u64) -> Plan {
    Plan::random(
        seed,
        setting("PEERS").unwrap_or(PEERS),
        setting("STEPS").unwrap_or(STEPS),
    )
}

fn check(plan: &Plan) -> Tally {
    match quietly(|| run(plan, Fault::None)) {
        Ok(tally) => tally,
        Err(error) => {
            let small = quietly(|| plan.cut_down(|part| run(part, Fault::None).is_err()));
            let why = quietly(|| run(&small, Fault::None)).expect_err("it failed");
            let json = serde_json::to_string(&small).expect("a plan is JSON");
            panic!(
                "SEED={} STEPS={} PEERS={} cargo nextest run -p crdt invariants\n{error}\ncut down to {} steps: {why}\n\
                 {json}",
                plan.seed,
                plan.steps.len(),
                plan.peers,
                small.steps.len(),
            );
        }
    }
}

#[test]
fn invariants_hold_whatever_happens() {
    if let Some(file) = setting::<String>("PLAN") {
        let json = std::fs::read_to_string(file).expect("PLAN names a file");
        check(&serde_json::from_str(&json).expect("PLAN is a plan"));
        return;
    }
    let first = setting("SEED");
    let seeds = first.map_or(0, |first| first)
        ..first.unwrap_or(0) + setting("SEEDS").unwrap_or(first.map_or(SEEDS, |_| 1));
    let began = Instant::now();
    let mut sum = Tally::default();
    let mut steps = 0;
    for seed in seeds.clone() {
        let plan = plan_of(seed);
        steps += plan.steps.len();
        let tally = check(&plan);
        sum.accepts += tally.accepts;
        sum.forced += tally.forced;
        sum.undos += tally.undos;
        sum.exact_undos += tally.exact_undos;
        sum.repairs += tally.repairs;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} seeds, {steps} steps in {seconds:.1} s: {sum:?}",
        seeds.clone().count()
    );
    if seeds.count() >= 100 {
        // A run in which nothing happens proves nothing.
        assert!(
            sum.accepts > 500 && sum.undos > 50 && sum.exact_undos > 20 && sum.repairs > 20,
            "{sum:?}"
        );
    }
}

/// The harness has to notice what it is there for.
#[test]
fn invariants_that_are_broken_on_purpose_are_noticed() {
    for (fault, words) in [
        (Fault::IgnoreBase, "which was written later"),
        (Fault::NoRepair, "times"),
        (Fault::ForgetRemoved, "undoing did not restore"),
        (Fault::ProposalWrites, "a proposal changed the body"),
        (Fault::LeaveOneOut, "has not seen all"),
    ] {
        let noticed = quietly(|| {
            (0..200)
                .map(|seed| Plan::random(seed, PEERS, STEPS))
                .find_map(|plan| {
                    let error = run(&plan, fault).err()?;
                    error.contains(words).then_some(plan)
                })
        });
        let plan = noticed.unwrap_or_else(|| panic!("{fault:?} went unnoticed"));
        let small =
            quietly(|| plan.cut_down(|part| run(part, fault).is_err_and(|error| error.contains(words))));
        assert!(
            small.steps.len() <= 12,
            "{fault:?} was cut down to {} steps only: {small:?}",
            small.steps.len()
        );
        let json = serde_json::to_string(&small).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), small);
    }
}
