//! What each kind of request asks of the model. A word is a token here.

use super::*;

const BUDGET: Budget = Budget {
    window: 400,
    quick: 160,
};

fn count(text: &str) -> usize {
    text.split_whitespace().count()
}

fn setting(before: &str, selection: &str, after: &str) -> Setting {
    Setting {
        title: "The River".into(),
        headings: vec!["Spring".into()],
        before: before.into(),
        after: after.into(),
        selection: selection.into(),
    }
}

fn ask(kind: RequestKind, instruction: &str, setting: &Setting) -> Result<Prompt, PromptError> {
    let task = Task {
        kind,
        instruction,
        setting,
        seed: 7,
        attempt: 0,
        begin: None,
    };
    build(task, BUDGET, &count)
}

fn asked(prompt: &Prompt) -> &str {
    &prompt.generate.messages.last().unwrap().content
}

#[test]
fn a_continuation_goes_on_from_the_text_itself() {
    let prompt = ask(
        RequestKind::Continue,
        "",
        &setting("It rained. The river ", "", "Later."),
    )
    .unwrap();
    assert_eq!(
        prompt.generate.answer_prefix.as_deref(),
        Some("It rained. The river")
    );
    assert_eq!(
        asked(&prompt),
        "Title: The River – Spring\n\nContinue this document."
    );
    assert_eq!(
        (prompt.kind, prompt.at_selection, prompt.form.bare),
        (ProposalKind::Insert, false, false)
    );
    let after_selection = ask(RequestKind::Continue, "", &setting("It ", "rained", "")).unwrap();
    assert_eq!(
        after_selection.generate.answer_prefix.as_deref(),
        Some("It rained")
    );
}

#[test]
fn surroundings_are_cut_to_what_is_read_quickly_and_the_nearest_stay() {
    let long: String = (0..1000).map(|word| format!("w{word} ")).collect();
    let prompt = ask(RequestKind::Continue, "", &setting(&long, "", &long)).unwrap();
    let prefix = prompt.generate.answer_prefix.clone().unwrap();
    assert!(prefix.ends_with("w999"));
    let read = count(&prefix)
        + prompt
            .generate
            .messages
            .iter()
            .map(|message| count(&message.content))
            .sum::<usize>();
    assert!((80..=BUDGET.quick).contains(&read), "{read}");

    let prompt = ask(RequestKind::Ask, "Why?", &setting(&long, "", &long)).unwrap();
    let text = asked(&prompt);
    assert!(text.contains("w999 w0 ") && text.ends_with("Why?"), "{text}");
    assert!((80..=BUDGET.quick).contains(&count(text)), "{}", count(text));
}

#[test]
fn an_empty_document_begins_from_its_title_or_not_at_all() {
    let prompt = ask(RequestKind::Continue, "", &setting("", "", "")).unwrap();
    assert_eq!(prompt.generate.answer_prefix, None);
    assert!(asked(&prompt).starts_with("Title: The River"));
    let nothing = Setting::default();
    for kind in [
        RequestKind::Continue,
        RequestKind::Summarise,
        RequestKind::Brainstorm,
        RequestKind::Ask,
        RequestKind::Rewrite,
    ] {
        let error = ask(kind, "", &nothing).unwrap_err();
        assert!(
            matches!(error, PromptError::Nothing(words) if words.len() > 20),
            "{kind:?}"
        );
    }
}

#[test]
fn a_selection_is_rewritten_in_place_as_it_was_told() {
    let setting = setting("Before.", "the **cat** sit", "After.");
    let prompt = ask(RequestKind::Rewrite, "", &setting).unwrap();
    assert_eq!(
        asked(&prompt),
        "Rewrite this text so that it is clear and correct.\n\nthe **cat** sit"
    );
    assert_eq!((prompt.kind, prompt.at_selection), (ProposalKind::Replace, true));
    assert!(prompt.generate.params.temperature < 0.01);
    let prompt = ask(RequestKind::Ask, "Make it rhyme", &setting).unwrap();
    assert_eq!(asked(&prompt), "Make it rhyme\n\nthe **cat** sit");
    assert_eq!(prompt.kind, ProposalKind::Replace);
    assert_eq!(
        ask(RequestKind::Ask, "Could you shorten it?", &setting)
            .unwrap()
            .kind,
        ProposalKind::Replace
    );
    let prompt = ask(RequestKind::Ask, "Who is the cat?", &setting).unwrap();
    assert_eq!(asked(&prompt), "the **cat** sit\n\nWho is the cat?");
    assert_eq!(prompt.kind, ProposalKind::Comment);
}

#[test]
fn a_selection_is_read_whole_or_refused_with_words() {
    let long = "word ".repeat(300);
    let prompt = ask(RequestKind::Rewrite, "", &setting("", &long, "")).unwrap();
    assert_eq!(count(asked(&prompt)), 310);
    assert_eq!(prompt.generate.stop.max_tokens, 514);
    let longer = "word ".repeat(360);
    let error = ask(RequestKind::Rewrite, "", &setting("", &longer, "")).unwrap_err();
    assert_eq!(
        error,
        PromptError::TooLong {
            tokens: 408,
            limit: 400
        }
    );
    assert!(error.to_string().contains("select less text"));
}

#[test]
fn a_summary_stands_beside_the_text() {
    let prompt = ask(RequestKind::Summarise, "", &setting("One. ", "", "Two.")).unwrap();
    assert!(asked(&prompt).starts_with("One. Two.\n\nSummarise"));
    assert_eq!((prompt.kind, prompt.at_selection), (ProposalKind::Comment, true));
    let prompt = ask(RequestKind::Summarise, "", &setting("One. ", "Selected.", "Two.")).unwrap();
    assert!(asked(&prompt).starts_with("Selected.\n\n"));
}

#[test]
fn ideas_are_a_list_that_is_begun_for_the_model() {
    let prompt = ask(
        RequestKind::Brainstorm,
        "names for a boat",
        &setting("Text.", "", ""),
    )
    .unwrap();
    assert_eq!(
        (prompt.opening, prompt.generate.answer_prefix.as_deref()),
        ("1.", Some("1."))
    );
    assert!(asked(&prompt).ends_with("five short ideas: names for a boat"));
    assert_eq!(prompt.kind, ProposalKind::Comment);
    let prompt = ask(RequestKind::Brainstorm, "", &setting("Text.", "Boats.", "")).unwrap();
    assert!(asked(&prompt).ends_with("Boats.\n\nWrite a list of five short ideas about this text."));
}

#[test]
fn another_attempt_is_warmer_and_begins_elsewhere() {
    let setting = setting("It rained.", "", "");
    let task = Task {
        kind: RequestKind::Continue,
        instruction: "",
        setting: &setting,
        seed: 7,
        attempt: 0,
        begin: None,
    };
    let first = build(task, BUDGET, &count).unwrap().generate.params;
    let second = build(Task { attempt: 1, ..task }, BUDGET, &count)
        .unwrap()
        .generate
        .params;
    assert!(second.temperature > first.temperature && second.seed != first.seed);
}

#[test]
fn the_budget_follows_the_measured_speed() {
    let patience = std::time::Duration::from_millis(600);
    assert_eq!(
        Budget::new(2048, 500.0, 100, patience),
        Budget {
            window: 1948,
            quick: 300
        }
    );
    assert_eq!(Budget::new(2048, 10.0, 100, patience).quick, 160);
    assert_eq!(
        Budget::new(120, f64::NAN, 100, patience),
        Budget {
            window: 20,
            quick: 20
        }
    );
    assert_eq!(Budget::new(300, f64::INFINITY, 100, patience).quick, 160);
    assert_eq!(
        Budget::new(300, 1e9, 500, patience),
        Budget { window: 0, quick: 0 }
    );
}

#[test]
fn the_window_stays_where_it_was_while_the_text_grows() {
    let mut setting = Setting {
        before: (0..40)
            .map(|n| format!("Paragraph {n} has some words of its own.\n"))
            .collect(),
        ..Setting::default()
    };
    let prefix = |setting: &Setting, begin: Option<Begin<'_>>| {
        let task = Task {
            kind: RequestKind::Continue,
            instruction: "",
            setting,
            seed: 7,
            attempt: 0,
            begin,
        };
        let prompt = build(task, BUDGET, &count).unwrap();
        (prompt.generate.answer_prefix.unwrap(), prompt.begin)
    };
    let (mut last, mut begin) = prefix(&setting, None);
    let mut moves = 0;
    for n in 0..60 {
        setting.before.push_str(&format!("more{n} "));
        let known = begin.clone();
        let (next, now) = prefix(
            &setting,
            Some(Begin {
                text: &known,
                extra: 0,
            }),
        );
        if !next.starts_with(&last) {
            moves += 1;
            assert!(next.starts_with("Paragraph"), "it begins with a block: {next}");
        }
        assert!(count(&next) <= BUDGET.quick);
        (last, begin) = (next, now);
    }
    assert!((1..=4).contains(&moves), "{moves} of 60");
    let (longer, _) = prefix(
        &setting,
        Some(Begin {
            text: &begin,
            extra: 1000,
        }),
    );
    assert!(longer.starts_with(&last[..20]));
}

#[test]
fn a_paragraph_is_asked_for_where_only_a_paragraph_has_a_place() {
    let shape =
        |kind, instruction: &str, setting: &Setting| ask(kind, instruction, setting).unwrap().generate.shape;
    let (inner, announced) = (
        Some(Shape::Paragraph { announced: false }),
        Some(Shape::Paragraph { announced: true }),
    );
    assert_eq!(
        shape(RequestKind::Continue, "", &setting("It rained. ", "", "")),
        inner
    );
    assert_eq!(
        shape(RequestKind::Continue, "", &setting("It ", "rained", "")),
        inner
    );
    assert_eq!(
        shape(RequestKind::Continue, "", &setting("It rained.\n", "", "")),
        None,
        "a new block"
    );
    for selection in ["It **rained**.", "1984 was wet.", "- 3 degrees, it was"] {
        let expected = if selection.starts_with("- ") {
            None
        } else {
            announced.clone()
        };
        assert_eq!(
            shape(RequestKind::Rewrite, "", &setting("", selection, "")),
            expected,
            "{selection}"
        );
    }
    let rewritten = ask(RequestKind::Rewrite, "", &setting("", "It rained.", "")).unwrap();
    assert!(
        rewritten.generate.stop.strings.is_empty(),
        "an announcement may come first"
    );
    for selection in [
        "# Rain",
        "One.\n\nTwo.",
        "> It rained.",
        "```\nrain\n```",
        "![rain](a.png)",
    ] {
        assert_eq!(
            shape(RequestKind::Rewrite, "", &setting("", selection, "")),
            None,
            "{selection}"
        );
    }
    assert_eq!(
        shape(RequestKind::Rewrite, "as a list", &setting("", "It rained.", "")),
        None
    );
    assert_eq!(
        shape(RequestKind::Ask, "Shorter", &setting("", "It rained.", "")),
        None
    );
}

#[test]
fn yes_or_no_is_one_of_the_two() {
    let ask = |told| ask(RequestKind::Ask, told, &setting("", "It rained.", "")).unwrap();
    for told in ["Is this formal, yes or no?", "Is this English? Answer Yes or No."] {
        let prompt = ask(told);
        assert_eq!(prompt.kind, ProposalKind::Comment);
        let Some(Shape::Choices(choices)) = prompt.generate.shape else {
            panic!("{told}")
        };
        assert_eq!(choices, ["Yes", "No"]);
    }
    assert_eq!(ask("Is this formal?").generate.shape, None);
}

/// What has the shape of a paragraph is read as one by the documents' own Markdown.
#[test]
fn what_fits_a_paragraph_is_read_as_one() {
    let shape = Shape::Paragraph { announced: false };
    let starts = [
        "",
        " ",
        "   ",
        "#",
        "# ",
        "## a",
        "#a",
        "-",
        "- ",
        "--",
        "---",
        "* ",
        "**a**",
        "*a*",
        "***",
        "+ ",
        "+1",
        "1. ",
        "1) ",
        "1.",
        "1984 ",
        "> ",
        ">",
        "<div>",
        "<u>",
        "[a](b)",
        "[a]: b",
        "[a]",
        "```",
        "``",
        "`a`",
        "~~~",
        "~~a~~",
        "___",
        "_a_",
        "| a |",
        "= ",
        "===",
        "\\# ",
        "!",
        "![a](b)",
        "a ![b](c)",
        "\t",
        "    ",
        "\"",
        "—",
        "雨",
        "$$",
    ];
    let ends = [
        "",
        " ",
        "rain",
        " rain",
        "rain.\n",
        "rain\nmore",
        "- - -",
        "a\n===",
        ": b",
        "**",
    ];
    let (mut fitting, mut others) = (0, 0);
    for start in starts {
        for end in ends {
            let text = format!("{start}{end}");
            if !shape.fits(&text).unwrap() {
                others += 1;
                continue;
            }
            fitting += 1;
            let nodes = crdt::markdown::parse(&text);
            let kinds: Vec<&str> = nodes.iter().map(|node| node.kind.as_str()).collect();
            assert_eq!(kinds, ["paragraph"], "{text:?}");
        }
    }
    assert!(fitting > 120 && others > 120, "{fitting} {others}");
    for text in [
        "It rained.",
        "**Rain** fell",
        "-3 degrees",
        "#1 of all",
        "1984 was wet.",
        " and then",
        "3.5 km",
        "`a` is b",
    ] {
        assert!(shape.fits(text).unwrap(), "{text}");
    }
}
