//! One container's life: created, started, asked, ended, removed, and what is said when one of these cannot be.

use std::time::{Duration, Instant};

use agentcore_docker::{Container, ContainerRequest, EngineError};

use crate::support::{Things, get, get_when_ready};

/// Long enough for a container to be started or ended on a busy machine.
const SOON: Duration = Duration::from_secs(30);

async fn started(things: &Things, request: &ContainerRequest) -> Container {
    let container = things.engine.create(request).await.unwrap();
    container.start().await.unwrap();
    container
}

#[tokio::test]
async fn a_container_serves_on_a_loopback_port_until_it_is_removed() {
    let Some(things) = Things::new().await else {
        return;
    };
    let mut request = things.request(&["serve"]).await;
    request
        .env
        .insert("GREETING".to_owned(), "hello = world".to_owned());
    let container = things.engine.create(&request).await.unwrap();

    let state = container.state().await.unwrap();
    assert!(
        !state.running && state.address.is_none() && state.pid.is_none(),
        "{state:?}"
    );
    container.start().await.unwrap();
    container.start().await.unwrap();
    let address = container.address().await.unwrap().unwrap();
    assert!(address.ip().is_loopback(), "{address}");
    assert_eq!(
        get_when_ready(address, "/env/GREETING").await,
        "hello = world"
    );
    let state = container.state().await.unwrap();
    assert!(
        state.running && state.pid.is_some() && state.exit_code.is_none(),
        "{state:?}"
    );

    container.remove().await.unwrap();
    assert!(get(address, "/env/GREETING").await.is_err());
    assert!(container.state().await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn the_exit_code_is_told_to_who_waits_and_to_who_comes_later() {
    let Some(things) = Things::new().await else {
        return;
    };
    for code in [0, 3] {
        let mut request = things.request(&["exit", &code.to_string()]).await;
        request.name = format!("{}-{code}", things.name);
        let container = started(&things, &request).await;
        for _ in 0..2 {
            let state = container.wait().await.unwrap();
            assert_eq!(
                (state.running, state.exit_code, state.oom_killed),
                (false, Some(code), false)
            );
        }
        assert_eq!(container.address().await.unwrap(), None);
    }
}

#[tokio::test]
async fn who_waits_for_a_removed_container_is_told_so() {
    let Some(things) = Things::new().await else {
        return;
    };
    let container = started(&things, &things.request(&["sleep", "60"]).await).await;
    let waiting = tokio::spawn({
        let container = container.clone();
        async move { container.wait().await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    container.remove().await.unwrap();
    let state = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
    // The engine may tell the status of what it killed before it forgets it.
    assert!(
        matches!(&state, Ok(state) if state.exit_code == Some(137))
            || matches!(&state, Err(error) if error.is_not_found()),
        "{state:?}"
    );
    assert!(container.wait().await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn one_that_takes_too_much_memory_is_killed_and_says_why() {
    let Some(things) = Things::new().await else {
        return;
    };
    let mut request = things.request(&["serve"]).await;
    request.memory = Some(64 << 20);
    let container = started(&things, &request).await;
    let address = container.address().await.unwrap().unwrap();
    assert_eq!(get_when_ready(address, "/eat/8").await, "eaten");
    assert!(get(address, "/eat/512").await.is_err());
    let state = container.wait().await.unwrap();
    assert!(state.oom_killed, "{state:?}");
    assert_eq!(state.exit_code, Some(137));
}

#[tokio::test]
async fn stopping_gives_grace_and_then_kills() {
    let Some(things) = Things::new().await else {
        return;
    };
    // As the first process of its container it ignores the signal.
    let container = started(&things, &things.request(&["serve"]).await).await;
    let start = Instant::now();
    container.stop(Duration::from_millis(900)).await.unwrap();
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(container.wait().await.unwrap().exit_code, Some(137));
    container.stop(Duration::ZERO).await.unwrap();
    container.kill().await.unwrap();
}

#[tokio::test]
async fn an_init_process_passes_the_signal_on() {
    let Some(things) = Things::new().await else {
        return;
    };
    if !things.engine.has_init() {
        eprintln!("not run: the engine has no init program");
        return;
    }
    let mut request = things.request(&["serve"]).await;
    request.init = true;
    let container = started(&things, &request).await;
    let address = container.address().await.unwrap().unwrap();
    get_when_ready(address, "/env/X").await;
    let start = Instant::now();
    container.stop(Duration::from_mins(1)).await.unwrap();
    assert!(start.elapsed() < SOON);
    assert_eq!(container.wait().await.unwrap().exit_code, Some(143));
}

#[tokio::test]
async fn ending_one_that_is_gone_is_no_error_and_using_it_is() {
    let Some(things) = Things::new().await else {
        return;
    };
    let container = started(&things, &things.request(&["serve"]).await).await;
    let (one, two) = tokio::join!(container.remove(), container.remove());
    one.unwrap();
    two.unwrap();
    container.remove().await.unwrap();
    container.kill().await.unwrap();
    container.stop(Duration::from_secs(1)).await.unwrap();
    for error in [
        container.start().await.unwrap_err(),
        container.state().await.unwrap_err(),
        container
            .rename("agentcore-test-a-nothing")
            .await
            .unwrap_err(),
    ] {
        assert!(error.is_not_found(), "{error:?}");
        assert!(error.to_string().contains(&container.id()[..12]), "{error}");
    }
}

#[tokio::test]
async fn a_name_belongs_to_one_container() {
    let Some(things) = Things::new().await else {
        return;
    };
    let mut request = things.request(&["serve"]).await;
    let first = things.engine.create(&request).await.unwrap();
    let error = things.engine.create(&request).await.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    assert!(error.to_string().contains(&request.name), "{error}");

    request.name.push_str("-second");
    let second = things.engine.create(&request).await.unwrap();
    assert!(second.rename(&things.name).await.unwrap_err().is_conflict());
    first
        .rename(&format!("{}-session", things.name))
        .await
        .unwrap();
    second.rename(&things.name).await.unwrap();

    let mut names: Vec<_> = things
        .engine
        .containers_with(&things.labels())
        .await
        .unwrap();
    names.sort_by(|a, b| a.names.cmp(&b.names));
    let names: Vec<_> = names.into_iter().flat_map(|found| found.names).collect();
    assert_eq!(
        names,
        [things.name.clone(), format!("{}-session", things.name)]
    );
}

#[tokio::test]
async fn containers_are_found_by_all_of_their_labels() {
    let Some(things) = Things::new().await else {
        return;
    };
    let mut request = things.request(&["serve"]).await;
    request
        .labels
        .insert("agentcore.test.kind".to_owned(), "a=b c".to_owned());
    let container = started(&things, &request).await;

    let found = things
        .engine
        .containers_with(&request.labels)
        .await
        .unwrap();
    let [found] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(found.container.id(), container.id());
    assert_eq!(found.labels, request.labels);
    assert_eq!(found.names, [things.name.as_str()]);
    assert!(found.running);

    container.kill().await.unwrap();
    container.wait().await.unwrap();
    let found = things
        .engine
        .containers_with(&request.labels)
        .await
        .unwrap();
    assert!(!found[0].running);
    request
        .labels
        .insert("agentcore.test.kind".to_owned(), "a=b".to_owned());
    assert!(
        things
            .engine
            .containers_with(&request.labels)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn what_cannot_be_created_or_started_is_told_in_the_engines_words() {
    let Some(things) = Things::new().await else {
        return;
    };
    let mut request = things.request(&["serve"]).await;
    request.image = "nosuch.invalid/image:1".to_owned();
    let error = things.engine.create(&request).await.unwrap_err();
    assert!(
        error.is_not_found() && error.to_string().contains("nosuch.invalid/image:1"),
        "{error}"
    );

    let mut request = things.request(&["serve"]).await;
    request.network = Some("agentcore-test-a-nosuch-network".to_owned());
    let container = things.engine.create(&request).await.unwrap();
    let error = container.start().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("agentcore-test-a-nosuch-network"),
        "{error}"
    );
    container.remove().await.unwrap();

    let mut request = things.request(&["serve"]).await;
    request.cpus = Some(10_000.0);
    let error = things.engine.create(&request).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::Refused { status: 400, .. }),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot create the container `{}`: ", things.name)),
        "{error}"
    );
}

#[tokio::test]
async fn a_container_is_as_locked_down_as_it_was_asked_to_be() {
    let Some(things) = Things::new().await else {
        return;
    };
    let mut request = things.request(&["serve"]).await;
    request.read_only = true;
    request.tmpfs.insert(
        "/tmp".to_owned(),
        "rw,nosuid,nodev,size=1m,mode=1777".to_owned(),
    );
    request.drop_capabilities = true;
    request.no_new_privileges = true;
    request.pids = Some(16);
    request.cpus = Some(0.5);
    let container = started(&things, &request).await;
    let address = container.address().await.unwrap().unwrap();

    let status = get_when_ready(address, "/status").await;
    let line = |name: &str| {
        status
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert_eq!(line("CapEff:"), "CapEff:\t0000000000000000");
    assert_eq!(line("CapBnd:"), "CapBnd:\t0000000000000000");
    assert_eq!(line("NoNewPrivs:"), "NoNewPrivs:\t1");
    assert_eq!(get(address, "/write/tmp/x").await.unwrap(), "written");
    assert!(
        get(address, "/write/x")
            .await
            .unwrap()
            .contains("Read-only file system")
    );
    let threads: u32 = get(address, "/threads/64").await.unwrap().parse().unwrap();
    assert!((1..16).contains(&threads), "{threads}");
}

#[tokio::test]
async fn without_limits_a_container_may_do_what_its_image_wants() {
    let Some(things) = Things::new().await else {
        return;
    };
    let container = started(&things, &things.request(&["serve"]).await).await;
    let address = container.address().await.unwrap().unwrap();
    let status = get_when_ready(address, "/status").await;
    assert!(!status.contains("CapEff:\t0000000000000000"), "{status}");
    assert!(status.contains("NoNewPrivs:\t0"), "{status}");
    assert_eq!(get(address, "/write/x").await.unwrap(), "written");
}

#[test]
fn a_request_is_shown_without_the_values_of_its_environment() {
    let request = ContainerRequest {
        env: [("TOKEN".to_owned(), "very secret".to_owned())].into(),
        ..ContainerRequest::default()
    };
    let shown = format!("{request:?}");
    assert!(
        shown.contains("TOKEN") && !shown.contains("secret"),
        "{shown}"
    );
}
