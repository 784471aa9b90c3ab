//! Answers that are held to a shape: they always have it, and it changes nothing else.
use model::{
    EngineOptions, FinishReason, GenerateError, GenerateRequest, Generator, SamplingParams, Shape, Summary,
    Worker,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value as Json, json};

use crate::support::{ask, collect, real, tiny, worker};

fn answer(worker: &Worker, request: &GenerateRequest) -> (String, Summary) {
    collect(worker.generate(request.clone()).unwrap())
}

fn shaped(request: &GenerateRequest, shape: Shape) -> GenerateRequest {
    GenerateRequest {
        shape: Some(shape),
        ..request.clone()
    }
}

fn hot(seed: u64) -> SamplingParams {
    SamplingParams {
        temperature: 1.3,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repetition_penalty: 1.0,
        ..SamplingParams::lively(seed)
    }
}

const ENDED: [FinishReason; 2] = [FinishReason::EndToken, FinishReason::Complete];

/// Schemas whose answers are short, so that none is cut.
fn schemas() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(json!({"type": "boolean"})),
        Just(json!({"type": "null"})),
        (0i64..50, 0i64..50)
            .prop_map(|(a, b)| json!({"type": "integer", "minimum": a.min(b), "maximum": a.max(b)})),
        (1usize..9).prop_map(|most| json!({"type": "string", "maxLength": most})),
        proptest::collection::vec("[a-zé ]{1,6}", 1..4).prop_map(|texts| json!({"enum": texts})),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), 0usize..3).prop_map(|(items, most)| json!({"type": "array", "items": items, "maxItems": most})),
            proptest::collection::vec(("[a-z]{1,5}", inner, any::<bool>()), 1..4).prop_map(|fields| {
                let required: Vec<&String> = fields.iter().filter(|field| field.2).map(|field| &field.0).collect();
                let properties: serde_json::Map<String, Json> =
                    fields.iter().map(|field| (field.0.clone(), field.1.clone())).collect();
                json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
            }),
        ]
    })
}

/// Whether a value is what such a schema allows: the keywords that [`schemas`] makes, read by the specification.
fn is_valid(value: &Json, schema: &Json) -> bool {
    if let Some(options) = schema["enum"].as_array() {
        return options.contains(value);
    }
    match schema["type"].as_str().unwrap() {
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.as_i64().is_some_and(|n| {
            schema["minimum"].as_i64().unwrap() <= n && n <= schema["maximum"].as_i64().unwrap()
        }),
        "string" => value
            .as_str()
            .is_some_and(|text| text.chars().count() as u64 <= schema["maxLength"].as_u64().unwrap()),
        "array" => value.as_array().is_some_and(|items| {
            items.len() as u64 <= schema["maxItems"].as_u64().unwrap()
                && items.iter().all(|item| is_valid(item, &schema["items"]))
        }),
        "object" => value.as_object().is_some_and(|fields| {
            let known = fields.iter().all(|(name, field)| {
                schema["properties"]
                    .get(name)
                    .is_some_and(|schema| is_valid(field, schema))
            });
            let required = schema["required"].as_array().unwrap();
            known
                && required
                    .iter()
                    .all(|name| fields.contains_key(name.as_str().unwrap()))
        }),
        other => panic!("{other}"),
    }
}

#[test]
fn json_always_parses_and_is_what_the_schema_allows() {
    let worker = worker(real(), EngineOptions::default());
    let mut runner = TestRunner::new(Config::with_cases(16));
    let result = runner.run(
        &(schemas(), any::<u64>(), any::<bool>()),
        |(schema, seed, greedy)| {
            let mut request = shaped(
                &ask("Tell me something about a ship, as JSON.", 200),
                Shape::Json(schema.clone()),
            );
            if !greedy {
                request.params = hot(seed);
            }
            let (text, summary) = answer(&worker, &request);
            prop_assert!(ENDED.contains(&summary.finish), "{text} {:?}", summary.finish);
            let value: Json = serde_json::from_str(&text)
                .map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
            prop_assert!(is_valid(&value, &schema), "{text} for {schema}");
            Ok(())
        },
    );
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_choice_is_always_one_of_the_choices() {
    let worker = worker(real(), EngineOptions::default());
    let mut runner = TestRunner::new(Config::with_cases(16));
    let cases = (
        proptest::collection::vec("[A-Za-z\"\\\\é雨, ]{1,9}", 1..5),
        any::<u64>(),
    );
    let result = runner.run(&cases, |(choices, seed)| {
        let mut request = shaped(&ask("Which one?", 40), Shape::Choices(choices.clone()));
        request.params = hot(seed);
        let (text, summary) = answer(&worker, &request);
        prop_assert!(ENDED.contains(&summary.finish), "{summary:?}");
        prop_assert!(choices.contains(&text), "{text:?} of {choices:?}");
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    // a choice that another begins with is not hidden by it
    let both = Shape::Choices(vec!["Paris".into(), "Paris, France".into()]);
    let (text, _) = answer(
        &worker,
        &shaped(&ask("What is the capital of France? Only its name.", 9), both),
    );
    assert!(text.starts_with("Paris"), "{text}");
}

#[test]
fn patterns_and_grammars_are_kept_to() {
    let worker = worker(real(), EngineOptions::default());
    let date = shaped(
        &ask("When was the French revolution?", 40),
        Shape::Regex(r"[0-9]{4}-(0[1-9]|1[0-2])-[0-3][0-9]".into()),
    );
    let (text, summary) = answer(&worker, &date);
    assert_eq!((text.len(), text.as_bytes()[4]), (10, b'-'), "{text}");
    assert_eq!(summary.finish, FinishReason::Complete);
    let grammar = "start: NAME \" is \" NUMBER \".\"\nNAME: /[A-Z][a-z]{1,9}/\nNUMBER: /[0-9]{1,3}/\n";
    let (text, summary) = answer(
        &worker,
        &shaped(&ask("How old is he?", 40), Shape::Lark(grammar.into())),
    );
    let (name, number) = text.strip_suffix('.').unwrap().split_once(" is ").unwrap();
    assert!(
        number.parse::<u32>().is_ok() && name.chars().all(char::is_alphabetic),
        "{text}"
    );
    assert_eq!(summary.finish, FinishReason::Complete);
}

/// Prompts that make this model write headings and lists, and one that does not.
const LISTS: [&str; 3] = [
    "List three fruits as a numbered list.",
    "Write two paragraphs about the sea.",
    "Say hello.",
];

#[test]
fn a_paragraph_has_no_heading_no_list_and_no_second_one() {
    let worker = worker(real(), EngineOptions::default());
    let shape = Shape::Paragraph { announced: false };
    let mut broken = 0;
    for told in LISTS {
        let mut request = ask(told, 40);
        for params in [SamplingParams::greedy(), hot(3)] {
            request.params = params;
            let free = answer(&worker, &request).0;
            broken += usize::from(!shape.fits(&free).unwrap());
            let (text, summary) = answer(&worker, &shaped(&request, shape.clone()));
            assert!(shape.fits(&text).unwrap() && !text.contains('\n'), "{text:?}");
            assert!(
                ENDED.contains(&summary.finish) || summary.finish == FinishReason::MaxTokens,
                "{summary:?}"
            );
        }
    }
    assert!(broken > 0, "the shape has something to do");
}

#[test]
fn an_announcement_may_come_before_a_paragraph() {
    let worker = worker(real(), EngineOptions::default());
    let mut request = shaped(&ask("Say hello.", 30), Shape::Paragraph { announced: true });
    request.answer_prefix = Some("Sure! Here is".into());
    let (text, _) = answer(&worker, &request);
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines.len() <= 2, "{text:?}");
    assert!(lines.len() < 2 || lines[0].ends_with(':'), "{text:?}");
}

/// What the model writes anyway is not changed by asking for it, with drafts or without, greedily or by chance.
#[test]
fn a_shape_that_the_answer_has_changes_nothing() {
    let (drafts, plain) = (
        worker(real(), EngineOptions::default()),
        worker(
            real(),
            EngineOptions {
                drafts: false,
                ..EngineOptions::default()
            },
        ),
    );
    let letter = "Dear neighbours, the bridge will be closed from Monday to Friday, because the boards have to be replaced.";
    let mut told = ask(&format!("Repeat this text without changing it.\n\n{letter}"), 32);
    for params in [SamplingParams::greedy(), SamplingParams::lively(7)] {
        told.params = params;
        for worker in [&drafts, &plain] {
            let (text, free) = answer(worker, &told);
            let quoted: String = text
                .chars()
                .map(|char| format!("\\u{{{:x}}}", u32::from(char)))
                .collect();
            let mut shapes = vec![
                Shape::Regex(r"(?s).*".into()),
                Shape::Paragraph { announced: false },
            ];
            if told.params.temperature == 0.0 {
                // what is forced is drafted: runs of other lengths, whose numbers differ a little, which chance would show
                shapes.push(Shape::Regex(format!("(?s){quoted}.*")));
            }
            for shape in shapes {
                let (same, summary) = answer(worker, &shaped(&told, shape.clone()));
                assert_eq!(same, text, "{shape:?}");
                assert_eq!(
                    (summary.tokens, &summary.finish),
                    (free.tokens, &free.finish),
                    "{shape:?}"
                );
                for (ours, theirs) in summary.scores.iter().zip(&free.scores) {
                    assert!((ours.logprob - theirs.logprob).abs() < 0.5, "{ours:?} {theirs:?}");
                }
            }
        }
    }
}

#[test]
fn what_a_grammar_forces_is_drafted_and_the_text_is_the_same() {
    let (drafts, plain) = (
        worker(real(), EngineOptions::default()),
        worker(
            real(),
            EngineOptions {
                drafts: false,
                ..EngineOptions::default()
            },
        ),
    );
    let schema = json!({
        "type": "object",
        "properties": {
            "the name of the ship": {"type": "string", "maxLength": 12},
            "the harbour it comes from": {"type": "string", "maxLength": 12},
        },
        "required": ["the name of the ship", "the harbour it comes from"],
        "additionalProperties": false,
    });
    // what is to be written is in the question: no two words are nearly as likely, which runs of other lengths could swap
    let told =
        "The ship Aurora comes from Bergen. What is the name of the ship, and the harbour it comes from?";
    let request = shaped(&ask(told, 80), Shape::Json(schema));
    let ((text, summary), (expected, without)) = (answer(&drafts, &request), answer(&plain, &request));
    assert_eq!(text, expected);
    assert_eq!(without.drafts.tried, 0);
    assert!(summary.drafts.right >= 6, "{:?} {text}", summary.drafts);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// The tiny model's tokens are bytes and its scores are noise: whatever it would write, the shape holds, kept caches and
    /// drafts change nothing, and a request without a shape is answered as before.
    #[test]
    fn noise_has_the_shape_too(
        edits in proptest::collection::vec(("[a-c ]{1,40}", 0usize..3), 1..5),
        seed in any::<u64>(),
    ) {
        let warm = worker(tiny("fp32"), EngineOptions { kept_bytes: 100 << 10, ..EngineOptions::default() });
        let choices = vec!["yes".to_owned(), "no".to_owned(), "ñ".to_owned()];
        for (text, which) in edits {
            let mut request = ask(&text, 40);
            request.params = if seed % 2 == 0 { SamplingParams::greedy() } else { hot(seed) };
            request.params.repetition_penalty = 1.2;
            request.shape = match which {
                0 => Some(Shape::Choices(choices.clone())),
                1 => Some(Shape::Regex("[a-f]{4}(, [a-f]{2}){1,3}".into())),
                _ => None,
            };
            let cold = worker(tiny("plain"), EngineOptions { drafts: false, ..EngineOptions::default() });
            let (expected, _) = answer(&cold, &request);
            let (got, summary) = answer(&warm, &request);
            prop_assert_eq!(&got, &expected);
            match which {
                0 => prop_assert!(choices.contains(&got), "{}", got),
                1 => prop_assert!(got.len() >= 8 && got[4..].starts_with(", "), "{}", got),
                // chance may draw the end
                _ => prop_assert!(matches!(summary.finish, FinishReason::MaxTokens | FinishReason::EndToken)),
            }
        }
    }
}

#[test]
fn stop_strings_limits_and_readers_that_leave_end_it_as_ever() {
    let worker = worker(real(), EngineOptions::default());
    let mut request = shaped(
        &ask("Count.", 40),
        Shape::Regex("one, two, three, four, five".into()),
    );
    request.stop.strings = vec![", four".into()];
    let (text, summary) = answer(&worker, &request);
    assert_eq!(
        (text.as_str(), summary.finish),
        ("one, two, three", FinishReason::StopString(", four".into()))
    );
    request.stop.strings.clear();
    request.stop.max_tokens = 3;
    let (text, summary) = answer(&worker, &request);
    assert!("one, two, three, four, five".starts_with(&text), "{text}");
    assert_eq!((summary.tokens, summary.finish), (3, FinishReason::MaxTokens));
    request.stop.max_tokens = 40;
    let mut left = worker.generate(request.clone()).unwrap();
    left.blocking_next();
    drop(left);
    assert_eq!(answer(&worker, &request).0, "one, two, three, four, five");
    request.answer_prefix = Some("zero ".into());
    assert_eq!(
        answer(&worker, &request).0,
        "one, two, three, four, five",
        "the space belongs to the prefix"
    );
}

#[test]
fn what_is_no_shape_is_refused_before_it_waits() {
    let worker = worker(tiny("fp32"), EngineOptions::default());
    for (shape, word) in [
        (Shape::Choices(vec![]), "choice"),
        (Shape::Choices(vec!["a".into(), String::new()]), "empty"),
        (Shape::Regex("[a-".into()), "regex"),
        (Shape::Lark("begin: \"a\"".into()), "start"),
        (Shape::Lark(" ".into()), "start"),
        (Shape::Json(json!(3)), "object"),
        (Shape::Json(json!({"type": "colour"})), "colour"),
        (
            Shape::Json(json!({"$ref": "https://example.org/s.json"})),
            "example.org",
        ),
    ] {
        let error = worker.generate(shaped(&ask("a", 4), shape.clone())).unwrap_err();
        let words = error.to_string();
        assert!(matches!(error, GenerateError::Shape(_)), "{words}");
        assert!(
            words.contains(word) && words.lines().count() == 1,
            "{shape:?}: {words}"
        );
        println!("{words}");
    }
    assert_eq!(worker.runs(), 0);
}
