//! Builds and pulls that fail: each kind is told from the others, with what helps.

use std::fs;

use agentcore_docker::{BuildError, BuildEvent, BuildRequest, Engine};

use crate::support::proxy::Proxy;
use crate::support::{Things, context, probe_program, raw};

async fn fail(things: &Things, dockerfile: &str) -> (BuildError, Vec<String>) {
    let request = BuildRequest {
        dockerfile: "Dockerfile".into(),
        tag: format!("{}:1", things.name),
        labels: things.labels(),
        ..BuildRequest::default()
    };
    let context = context(&[
        ("Dockerfile", dockerfile.as_bytes()),
        ("probe", &probe_program()),
    ]);
    let mut output = Vec::new();
    let mut on_event = |event| {
        if let BuildEvent::Output(line) = event {
            output.push(line);
        }
    };
    let built = things.engine.build(&request, context, &mut on_event).await;
    (built.unwrap_err(), output)
}

#[tokio::test]
async fn a_failing_step_is_told_with_its_text_its_exit_code_and_what_it_printed() {
    let Some(things) = Things::new().await else {
        return;
    };
    let step = format!(
        "RUN [\"/probe\", \"fail\", \"3\", \"no module {}\"]",
        things.name
    );
    let (error, output) = fail(
        &things,
        &format!("FROM scratch\nCOPY probe /probe\n{step}\n"),
    )
    .await;
    let BuildError::Step {
        step: Some(failed),
        code,
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!((failed, *code), (&step, Some(3)));
    assert_eq!(
        error.to_string(),
        format!("the build failed: `{step}` ended with exit status 3")
    );
    assert!(
        output.contains(&"to standard output".to_owned()),
        "{output:?}"
    );
    // The engine paints it red; a line is told as the program wrote it.
    assert!(
        output.contains(&format!("no module {}", things.name)),
        "{output:?}"
    );
    // Nothing is left of it.
    let containers = raw(&things.engine, "GET", "/containers/json?all=1", "").await;
    assert!(!containers.contains(&things.name), "{containers}");
}

#[tokio::test]
async fn a_step_without_a_shell_is_told_in_the_engines_words() {
    let Some(things) = Things::new().await else {
        return;
    };
    let (error, _) = fail(&things, "FROM scratch\nRUN true\n").await;
    assert!(
        matches!(&error, BuildError::Step { step: Some(step), code: None, .. } if step == "RUN true"),
        "{error:?}"
    );
    assert!(error.to_string().contains("/bin/sh"), "{error}");
}

#[tokio::test]
async fn a_base_image_that_cannot_be_had_is_named() {
    let Some(things) = Things::new().await else {
        return;
    };
    let cases = [
        ("FROM nosuch.invalid/x:1\nRUN true\n", "nosuch.invalid/x:1"),
        (
            "ARG BASE=nosuch.invalid/y\nFROM ${BASE}:2 AS build\n",
            "${BASE}:2",
        ),
        (
            "FROM scratch\nCOPY --from=nosuch.invalid/z:3 /a /a\n",
            "nosuch.invalid/z:3",
        ),
    ];
    for (dockerfile, name) in cases {
        let (error, _) = fail(&things, dockerfile).await;
        let BuildError::BaseImage { image, message } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(image, name);
        assert!(message.contains("nosuch.invalid"), "{message}");
        assert!(error.hint().unwrap().contains("docker pull"), "{error}");
    }
}

#[tokio::test]
async fn what_only_buildkit_knows_is_told_with_a_hint() {
    let Some(things) = Things::new().await else {
        return;
    };
    for step in [
        "RUN --mount=type=cache,target=/x true",
        "COPY --chmod=755 probe /probe",
    ] {
        let (error, _) = fail(&things, &format!("FROM scratch\n{step}\n")).await;
        assert!(
            matches!(&error, BuildError::Step { step: Some(failed), .. } if failed == step),
            "{error:?}"
        );
        assert!(error.hint().unwrap().contains("BuildKit"), "{error}");
    }
}

#[tokio::test]
async fn a_dockerfile_that_cannot_be_read_is_told_without_a_step() {
    let Some(things) = Things::new().await else {
        return;
    };
    let (error, _) = fail(&things, "FROM scratch\nFRUM x\n").await;
    assert!(
        matches!(
            &error,
            BuildError::Step {
                step: None,
                code: None,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("line 2") && error.to_string().contains("FRUM"),
        "{error}"
    );

    let request = BuildRequest {
        dockerfile: "nosuch/Dockerfile".into(),
        tag: format!("{}:1", things.name),
        ..BuildRequest::default()
    };
    let built = things
        .engine
        .build(&request, context(&[("x", b"")]), &mut |_| {})
        .await;
    let error = built.unwrap_err();
    assert!(error.to_string().contains("nosuch/Dockerfile"), "{error:?}");
}

#[tokio::test]
async fn a_file_that_is_not_in_the_context_is_told() {
    let Some(things) = Things::new().await else {
        return;
    };
    let (error, _) = fail(&things, "FROM scratch\nCOPY nosuch /x\n").await;
    assert!(
        matches!(
            &error,
            BuildError::Step {
                step: Some(_),
                code: None,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("COPY failed: file not found in build context"),
        "{error}"
    );
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_told_with_a_hint() {
    let Some(things) = Things::new().await else {
        return;
    };
    let error = things
        .engine
        .pull("nosuch.invalid/x", &mut |_| {})
        .await
        .unwrap_err();
    let BuildError::BaseImage { image, message } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(image, "nosuch.invalid/x");
    assert!(message.contains("nosuch.invalid"), "{message}");

    let error = things
        .engine
        .pull("Not A Name", &mut |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, BuildError::BaseImage { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("spelled right"), "{error}");
}

#[tokio::test]
async fn the_users_credentials_reach_the_engine_and_no_message() {
    let Some(things) = Things::new().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    // `me:pass~~~???` in base64; the engine's header has another alphabet, in which `+` and `/` mean nothing.
    let config = r#"{ "auths": { "nosuch.invalid": { "auth": "bWU6cGFzc35+fj8/Pw==" }, "other.invalid": {} } }"#;
    fs::write(folder.path().join("config.json"), config).unwrap();
    let proxy = Proxy::to(things.engine.endpoint());
    let engine = Engine::open(&proxy.endpoint()).await.unwrap();
    let engine = engine.with_config_dir(Some(folder.path().to_owned()));

    let error = engine
        .pull("nosuch.invalid/x:1", &mut |_| {})
        .await
        .unwrap_err();
    let sent = header(&proxy.sent(), "x-registry-auth: ");
    let expected = r#"{"username":"me","password":"pass~~~???","auth":null,"email":null,"serveraddress":"nosuch.invalid","identitytoken":null,"registrytoken":null}"#;
    assert_eq!(decode(&sent), expected);
    assert!(!format!("{error:?} {error} {engine:?}").contains("pass~"));

    let context = context(&[("Dockerfile", b"FROM nosuch.invalid/x:1\n")]);
    let request = BuildRequest {
        dockerfile: "Dockerfile".into(),
        tag: format!("{}:1", things.name),
        ..BuildRequest::default()
    };
    let error = engine
        .build(&request, context, &mut |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, BuildError::BaseImage { .. }), "{error:?}");
    let sent = header(&proxy.sent(), "x-registry-config: ");
    assert_eq!(decode(&sent), format!("{{\"nosuch.invalid\":{expected}}}"));
}

fn header(sent: &str, name: &str) -> String {
    let (_, rest) = sent.split_once(name).unwrap();
    rest.split_once("\r\n").unwrap().0.to_owned()
}

/// Base64 in the alphabet for URLs, as engines read it.
fn decode(text: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.trim_end_matches('=').chars() {
        bits = bits << 6 | u32::try_from(ALPHABET.find(letter).unwrap()).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    String::from_utf8(bytes).unwrap()
}
