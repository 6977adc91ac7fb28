//! Foreign clients: the docker command and the crate bollard, unchanged.

use berth_blackbox::{Engine, command};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn bollard(engine: &Engine) -> Docker {
    let socket = engine.socket().to_str().expect("UTF-8").to_owned();
    let docker = Docker::connect_with_unix(&socket, 30, bollard::API_DEFAULT_VERSION).expect("a client");
    docker.negotiate_version().await.expect("negotiation")
}

#[test]
fn bollard_lives_through_a_container() {
    let engine = Engine::start();
    runtime().block_on(async {
        let docker = bollard(&engine).await;
        let body = ContainerCreateBody {
            image: Some("busybox".into()),
            cmd: Some(vec!["sh".into(), "-c".into(), "echo out; echo err >&2; exit 5".into()]),
            host_config: Some(HostConfig { memory: Some(64 << 20), ..Default::default() }),
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::new().name("it").build();
        let created = docker.create_container(Some(options), body).await.expect("create");
        docker.start_container("it", None).await.expect("start");
        let waited = docker.wait_container("it", None).next().await.expect("an answer");
        assert!(matches!(waited, Err(bollard::errors::Error::DockerContainerWaitError { code: 5, .. })), "{waited:?}");
        let logs = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        let lines: Vec<_> = docker.logs("it", Some(logs)).try_collect().await.expect("logs");
        let mut text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        text.sort();
        assert_eq!(text, ["err\n", "out\n"]);
        let inspect = docker.inspect_container("it", None).await.expect("inspect");
        assert_eq!(inspect.id, Some(created.id));
        assert_eq!(inspect.state.and_then(|state| state.exit_code), Some(5));
        let all = ListContainersOptionsBuilder::new().all(true).build();
        assert_eq!(docker.list_containers(Some(all)).await.expect("list").len(), 1);
        let force = RemoveContainerOptionsBuilder::new().force(true).build();
        docker.remove_container("it", Some(force)).await.expect("remove");
    });
}

#[test]
fn bollard_reads_every_large_answer() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    runtime().block_on(async {
        let docker = bollard(&engine).await;
        docker.ping().await.expect("ping");
        docker.version().await.expect("version");
        docker.info().await.expect("info");
        docker.df(None).await.expect("df");
        docker.list_images(None::<bollard::query_parameters::ListImagesOptions>).await.expect("images");
        docker.inspect_image("busybox").await.expect("image");
        docker.image_history("busybox").await.expect("history");
        docker.list_volumes(None::<bollard::query_parameters::ListVolumesOptions>).await.expect("volumes");
        docker.top_processes("it", None).await.expect("top");
        docker.stats("it", None).next().await.expect("an answer").expect("stats");
    });
}

#[test]
fn bollard_runs_an_exec() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    runtime().block_on(async {
        let docker = bollard(&engine).await;
        let config = bollard::models::ExecConfig {
            cmd: Some(vec!["echo".into(), "from exec".into()]),
            attach_stdout: Some(true),
            ..Default::default()
        };
        let exec = docker.create_exec("it", config).await.expect("create").id;
        let started = docker.start_exec(&exec, None).await.expect("start");
        let bollard::exec::StartExecResults::Attached { output, .. } = started else { panic!("attached") };
        let parts: Vec<_> = output.try_collect().await.expect("output");
        assert_eq!(parts.iter().map(ToString::to_string).collect::<String>(), "from exec\n");
        assert_eq!(docker.inspect_exec(&exec).await.expect("inspect").exit_code, Some(0));
    });
}

#[test]
fn the_docker_command_walks_through_a_day() {
    let engine = Engine::start();
    if !command::is_installed("docker") {
        berth_blackbox::skip!("the docker command is not installed");
    }
    let docker = |arguments: &[&str]| command::run(engine.client("docker".as_ref(), arguments), b"");
    docker(&["version"]).ok();
    docker(&["info"]).ok();
    assert_eq!(docker(&["run", "--rm", "busybox", "echo", "hello"]).ok(), "hello");
    docker(&[
        "run", "-d", "--name", "web", "-p", "8080:80", "--memory", "64m", "--cpus", "0.5", "busybox", "sleep", "60",
    ])
    .ok();
    assert!(docker(&["ps"]).ok().contains("0.0.0.0:8080->80/tcp"));
    assert_eq!(docker(&["exec", "web", "hostname"]).ok().len(), 12);
    docker(&["logs", "web"]).ok();
    docker(&["stats", "--no-stream", "web"]).ok();
    docker(&["top", "web"]).ok();
    docker(&["inspect", "web"]).ok();
    docker(&["update", "--memory", "32m", "--memory-swap", "64m", "web"]).ok();
    docker(&["pause", "web"]).ok();
    docker(&["unpause", "web"]).ok();
    docker(&["rename", "web", "site"]).ok();
    docker(&["restart", "-t", "0", "site"]).ok();
    docker(&["commit", "site", "copy:1"]).ok();
    assert!(docker(&["images"]).ok().contains("copy"));
    docker(&["stop", "-t", "0", "site"]).ok();
    assert_eq!(docker(&["wait", "site"]).ok(), "137");
    docker(&["rm", "site"]).ok();
    docker(&["rmi", "copy:1"]).ok();
    docker(&["system", "df"]).ok();
    docker(&["events", "--since", "1m", "--until", "0s"]).ok();
    assert_eq!(docker(&["ps", "-aq"]).ok(), "");
}

#[test]
fn own_client_and_docker_say_the_same() {
    let engine = Engine::start();
    if engine.is_docker() || !command::is_installed("docker") {
        berth_blackbox::skip!("needs berth and the docker command");
    }
    engine.run("it", &["sleep", "60"], json!({"Labels": {"a": "b"}}));
    for arguments in [
        &["ps", "--format", "{{.ID}} {{.Image}} {{.Command}} {{.Names}} {{.Labels}} {{.State}}"][..],
        &["ps", "-aq", "--no-trunc"],
        &["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}"],
        &["inspect", "--format", "{{.Id}} {{.State.Pid}} {{json .Config.Labels}}", "it"],
        &["exec", "it", "hostname"],
        &["diff", "it"],
        &["port", "it"],
        &["top", "it", "-o", "pid,comm"],
        &["history", "-q", "busybox"],
    ] {
        let docker = command::run(engine.client("docker".as_ref(), arguments), b"");
        let own = engine.berth(arguments);
        assert_eq!((own.code, own.text()), (docker.code, docker.text()), "{arguments:?}: {}", own.stderr);
    }
}
