//! What people type and what models propose.

/// What people type.
pub(crate) const WORDS: [&str; 10] = ["a", "to", "words", " ", ". ", "é", "𝄞", "日本", "x y", "-"];

/// How many kinds of payload there are.
pub(crate) const PAYLOADS: u8 = 12;

/// The payload number `kind`, with a word in it that occurs nowhere else; `quote` is what it is to replace. Words of other
/// payloads are not repeated, so that each can be counted.
pub(crate) fn payload(kind: u8, marker: &str, quote: &str) -> String {
    let quote = quote.replace("zq", "q");
    match kind % PAYLOADS {
        0 => marker.to_owned(),
        1 => format!(" {marker} and more"),
        2 => format!("one {marker}\n\ntwo"),
        3 => format!("- {marker}\n- b"),
        4 => format!("# {marker}\n\ntext"),
        5 => format!("> {marker}\n\n1. x\n2. y"),
        6 => format!("```\n{marker}\n```"),
        7 => format!("a **{marker}** b"),
        8 => format!("| {marker} | b |\n|---|---|\n| c | d |"),
        // Mostly what was there.
        9 => format!("{} {marker}", quote.trim()),
        10 => {
            let mut words: Vec<&str> = quote.split_whitespace().collect();
            words.insert(words.len() / 2, marker);
            words.join(" ")
        }
        _ => format!("---\n\n{marker}\\\nnext line\n\n- [ ] z"),
    }
}
