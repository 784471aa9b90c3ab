//! Remote engines: a real server of another make, and what no real server can be asked for.
use std::net::TcpListener;
use std::time::Duration;

use model::{
    Capabilities, ChatMessage, Chunk, FinishReason, GenerateError, GenerateRequest, Generator, Provider,
    RemoteEngine, RemoteError, RemoteOptions, Shape, Summary,
};

use crate::gguf::default_gguf;
use crate::http_server::{Reply, Server};
use crate::other_engine::OtherEngine;
use crate::requantise::to_eight_bits;
use crate::support::ask;

fn start() -> OtherEngine {
    OtherEngine::start(|folder| {
        let model = folder.join("smollm2.gguf");
        to_eight_bits(&default_gguf(), &model);
        model
    })
}

fn options_of(server: &OtherEngine) -> RemoteOptions {
    RemoteOptions::new(format!("http://127.0.0.1:{}/v1", server.port).parse().unwrap())
}

/// Connects as soon as it answers; fails when it has ended.
fn connect(server: &mut OtherEngine) -> RemoteEngine {
    loop {
        match RemoteEngine::connect(options_of(server)) {
            Ok(engine) => return engine,
            Err(RemoteError::Unreachable { .. }) => std::thread::sleep(Duration::from_millis(200)),
            Err(error) => panic!("{error}"),
        }
        server.assert_runs();
    }
}

fn read(engine: &RemoteEngine, request: GenerateRequest) -> Result<(Vec<String>, Summary), GenerateError> {
    let mut generation = engine.generate(request)?;
    let mut pieces = Vec::new();
    while let Some(chunk) = generation.blocking_next() {
        match chunk? {
            Chunk::Text(text) => pieces.push(text),
            Chunk::Done(summary) => return Ok((pieces, summary)),
        }
    }
    unreachable!("a generation ends with Done or an error")
}

/// Asks again when the server breaks off in the middle of an answer, as this one does now and then; our side must not, because
/// its caller has seen the beginning.
fn patiently(engine: &RemoteEngine, request: impl Fn() -> GenerateRequest) -> (Vec<String>, Summary) {
    let mut last = None;
    for _ in 0..20 {
        match read(engine, request()) {
            Ok(answer) => return answer,
            Err(error) => last = Some(error),
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    panic!("it never answered: {last:?}")
}

#[test]
fn a_server_of_another_make_answers_streams_stops_and_is_cancelled() {
    let mut server = start();
    let engine = connect(&mut server);
    let info = engine.info();
    assert_eq!(info.device.provider, Provider::Remote);
    assert!(
        info.device.summary().contains("127.0.0.1"),
        "{}",
        info.device.summary()
    );
    assert!(
        info.decode_tokens_per_second > 0.1 && info.prefill_tokens_per_second > 0.1,
        "{info:?}"
    );
    assert_eq!(engine.capabilities(), Capabilities::REMOTE);
    println!("{info:?}");

    let question = "What is the capital of France? Answer in one sentence.";
    let (pieces, summary) = patiently(&engine, || ask(question, 24));
    println!("{pieces:?} {summary:?}");
    assert_eq!(pieces.concat(), "The capital of France is Paris.");
    assert!(pieces.len() > 3, "it came at once: {pieces:?}");
    assert_eq!(summary.finish, FinishReason::EndToken);
    assert!(summary.prompt_tokens > 10 && summary.tokens >= 6, "{summary:?}");

    let paragraph = || GenerateRequest {
        shape: Some(Shape::Paragraph { announced: false }),
        ..ask(question, 24)
    };
    assert_eq!(
        patiently(&engine, paragraph).0.concat(),
        "The capital of France is Paris."
    );

    let (pieces, summary) = patiently(&engine, || ask(question, 3));
    assert_eq!(
        (pieces.concat().as_str(), summary.finish),
        ("The capital of", FinishReason::MaxTokens)
    );
    let (pieces, summary) = patiently(&engine, || {
        let mut request = ask(question, 24);
        request.stop.strings = vec![" is".into()];
        request
    });
    assert_eq!(pieces.concat(), "The capital of France");
    // some servers tell which stop string it was, others only that it stopped
    assert!(
        matches!(
            summary.finish,
            FinishReason::EndToken | FinishReason::StopString(_)
        ),
        "{summary:?}"
    );

    // some that are dropped in the middle; then it answers as before
    let long = || GenerateRequest::greedy(vec![ChatMessage::user("Write a long story about the sea.")], 600);
    for _ in 0..6 {
        // this server breaks off answers now and then: asked again
        let begins = (0..20).any(|_| {
            let begun = engine
                .generate(long())
                .is_ok_and(|mut running| matches!(running.blocking_next(), Some(Ok(Chunk::Text(_)))));
            if !begun {
                std::thread::sleep(std::time::Duration::from_millis(500));
            }
            begun
        });
        assert!(begins, "a long answer begins");
    }
    // This server notices only between two tokens that its reader has gone, and mixes up what it writes meanwhile.
    let recovers = (0..60).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(500));
        read(&engine, ask(question, 24))
            .is_ok_and(|(pieces, _)| pieces.concat() == "The capital of France is Paris.")
    });
    assert!(recovers, "what was dropped still runs");

    let wrong = RemoteOptions {
        model: Some("no-such-model".into()),
        ..options_of(&server)
    };
    assert!(matches!(
        RemoteEngine::connect(wrong),
        Err(RemoteError::NoModel { .. })
    ));
    drop(server);
    let gone = read(&engine, ask(question, 24)).unwrap_err().to_string();
    assert!(
        gone.contains("does not answer") && gone.contains("tried 4 times"),
        "{gone}"
    );
}

fn options(server: &Server) -> RemoteOptions {
    RemoteOptions {
        attempts: 2,
        measure: false,
        ..RemoteOptions::new(server.url("/v1"))
    }
}

const MODELS: &str = r#"{"data":[{"id":"m","max_model_len":4096}]}"#;

/// A server that answers chats with what `answer` makes of their number and body.
fn scripted(answer: impl Fn(usize, &str) -> Reply + Send + 'static) -> (Server, RemoteEngine) {
    let times = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/v1/models" => Reply::new(200, MODELS),
        _ => answer(
            times.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            &asked.body,
        ),
    });
    let engine = RemoteEngine::connect(options(&server)).unwrap();
    (server, engine)
}

fn event(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

#[test]
fn a_request_is_repeated_until_text_has_come_and_never_after() {
    let (server, engine) = scripted(|time, _| match time {
        0 => Reply::new(503, r#"{"error":{"message":"loading"}}"#),
        1 => Reply::new(200, format!("{}{END}", event("one"))),
        _ => {
            let body = format!("{}{}", event("half"), event("never"));
            let cut = event("half").len() + 5;
            Reply {
                cut,
                ..Reply::new(200, body)
            }
        }
    });
    assert_eq!(engine.info().context_length, 4096);
    assert_eq!(read(&engine, ask("x", 8)).unwrap().0, ["one"]);
    let mut generation = engine.generate(ask("x", 8)).unwrap();
    assert_eq!(generation.blocking_next(), Some(Ok(Chunk::Text("half".into()))));
    let error = generation.blocking_next().unwrap().unwrap_err().to_string();
    assert!(error.contains("broke off"), "{error}");
    assert_eq!(generation.blocking_next(), None);
    assert_eq!(server.asked().len(), 1 + 3);
}

#[test]
fn refusals_come_in_words_and_unknown_settings_are_left_out() {
    let (server, engine) = scripted(|_, body| match body.contains("stream_options") {
        true => Reply::new(400, r#"{"error":{"message":"unknown field stream_options"}}"#),
        false => Reply::new(200, format!("{}{END}", event("plain"))),
    });
    let mut request = ask("x", 8);
    request.answer_prefix = Some("Dear".into());
    assert_eq!(read(&engine, request).unwrap().0, ["plain"]);
    assert!(
        server
            .asked()
            .last()
            .unwrap()
            .body
            .contains("Begin your answer with exactly this text")
    );

    let (_server, engine) = scripted(|_, _| Reply::new(401, r#"{"error":{"message":"bad key"}}"#));
    let error = read(&engine, ask("x", 8)).unwrap_err().to_string();
    assert!(
        error.contains("--engine-key-file") && error.contains("bad key"),
        "{error}"
    );

    let (_server, engine) =
        scripted(|_, _| Reply::new(200, "data: {\"error\":{\"message\":\"out of memory\"}}\n\n"));
    let error = read(&engine, ask("x", 8)).unwrap_err().to_string();
    assert!(error.contains("out of memory"), "{error}");
    let long = ask(&"word ".repeat(4000), 8);
    assert!(matches!(
        engine.generate(long),
        Err(GenerateError::PromptTooLong { limit: 4095, .. })
    ));

    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = RemoteEngine::connect(RemoteOptions::new(
        format!("http://127.0.0.1:{nobody}/v1").parse().unwrap(),
    ));
    assert!(matches!(error, Err(RemoteError::Unreachable { .. })), "{error:?}");
    let error = RemoteEngine::connect(RemoteOptions::new("file:///x".parse().unwrap()));
    assert!(matches!(error, Err(RemoteError::Address(_))), "{error:?}");
}

#[test]
fn a_shape_is_asked_for_and_checked() {
    let json = || {
        let schema = serde_json::json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
        GenerateRequest {
            shape: Some(Shape::Json(schema)),
            ..ask("x", 20)
        }
    };
    let shaped = |shape| GenerateRequest {
        shape: Some(shape),
        ..ask("x", 20)
    };
    let (server, engine) = scripted(|_, _| {
        // the quotation marks of the answer are escaped in the event
        let pieces = [r#"\n {\"n\""#, ": 1", "2}"];
        let events: String = pieces.iter().map(|piece| event(piece)).collect();
        Reply::new(200, format!("{events}{END}"))
    });
    let (pieces, summary) = read(&engine, json()).unwrap();
    assert_eq!(
        (pieces.concat().as_str(), summary.finish),
        ("{\"n\": 12}", FinishReason::Complete)
    );
    let body = server.asked().last().unwrap().body.clone();
    assert!(
        body.contains("json_schema") && body.contains("\"integer\""),
        "{body}"
    );

    let yes = || shaped(Shape::Choices(vec!["yes".into(), "no".into()]));
    let error = read(&engine, yes()).unwrap_err().to_string();
    assert!(error.contains("does not keep to the form"), "{error}");
    let body = server.asked().last().unwrap().body.clone();
    assert!(!body.contains("structured_outputs"), "{body}");
    let error = engine.generate(shaped(Shape::Regex("[".into()))).unwrap_err();
    assert!(matches!(error, GenerateError::Shape(_)), "{error}");

    // an answer that ends before it is whole
    let (_server, engine) = scripted(|_, _| Reply::new(200, format!("{}{END}", event("ye"))));
    assert!(read(&engine, yes()).unwrap_err().to_string().contains("form"));

    // a second paragraph is left out
    let (_server, engine) = scripted(|_, _| {
        let events: String = [r"\n\nIt ", r"rained.\n", r"\n# More"]
            .iter()
            .map(|text| event(text))
            .collect();
        Reply::new(200, format!("{events}{END}"))
    });
    let (pieces, summary) = read(&engine, shaped(Shape::Paragraph { announced: false })).unwrap();
    assert_eq!(
        (pieces.concat().as_str(), summary.finish),
        ("It rained.", FinishReason::Complete)
    );

    // servers that say who they are are asked for more, and not what they refuse
    let server = Server::start(|asked| match asked.path.as_str() {
        "/v1/models" => Reply::new(
            200,
            r#"{"data":[{"id":"m","max_model_len":4096,"owned_by":"vllm"}]}"#,
        ),
        _ if asked.body.contains("\"regex\"") => {
            Reply::new(400, r#"{"message":"no structured_outputs here"}"#)
        }
        _ => Reply::new(200, format!("{}{END}", event("no"))),
    });
    let engine = RemoteEngine::connect(options(&server)).unwrap();
    assert_eq!(read(&engine, yes()).unwrap().0, ["no"]);
    let body = server.asked().last().unwrap().body.clone();
    assert!(
        body.contains(r#""structured_outputs":{"choice":["yes","no"]}"#),
        "{body}"
    );
    assert_eq!(
        read(&engine, shaped(Shape::Regex("n?o?".into()))).unwrap().0,
        ["no"]
    );

    let mut request = ask("x", 8);
    request.adapter = Some(model::AdapterId("mine".into()));
    assert!(matches!(engine.generate(request), Err(GenerateError::Adapter(_))));
}

#[test]
fn text_is_not_sent_on_to_where_an_answer_points() {
    let elsewhere = Server::start(|_| Reply::new(200, END));
    let there = elsewhere.url("/v1/chat/completions").to_string();
    let (_server, engine) = scripted(move |_, _| {
        let mut reply = Reply::new(307, "");
        reply.headers.push(("location", there.clone()));
        reply
    });
    let words = read(&engine, ask("a secret", 8)).unwrap_err().to_string();
    assert!(words.contains("sends requests on to another address"), "{words}");
    assert!(elsewhere.asked().is_empty(), "{:?}", elsewhere.asked());
}
