//! Registries over TLS: authorities, client certificates, users by token and by Basic, proxies, credential helpers, and
//! the engine against the registry of its own.
//!
//! The registries listen on addresses beyond 127.0.0.0/8, which would count as insecure by themselves. The engine's
//! /etc is a layer over the host's own, so that `certs.d` can be filled.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use berth_blackbox::engine::binary;
use berth_blackbox::{Engine, Output, command, eventually, skip};
use serde_json::json;

const ADDRESS: &str = "10.99.0.1";
const HOST: &str = "10.99.0.1:5443";
const PROXY: &str = "10.99.0.9:3128";

/// What makes an authority with the key and certificate of a server and of a client; `$1` is the server's address.
const CERTIFICATES: &str = r#"set -e
key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $key -days 2 -subj /CN=authority -keyout ca.key -out ca.crt
sign() { openssl x509 -req -days 2 -CA ca.crt -CAkey ca.key -CAcreateserial -in "$1.csr" -extfile "$1.ext" -out "$1.crt"; }
for name in server client; do
    openssl req $key -subj "/CN=$name" -keyout "$name.key" -out "$name.csr"
done
echo "subjectAltName=IP:$1" > server.ext
echo "extendedKeyUsage=clientAuth" > client.ext
sign server; sign client
"#;

/// A process beside the engine, which ends with the test.
struct Neighbour(Child);

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An engine whose network has the addresses of the tests, and whose /etc may be written to.
fn engine_with(flags: &[&str]) -> Engine {
    let engine = Engine::start_with(flags);
    prepare(&engine);
    engine
}

fn prepare(engine: &Engine) {
    let script = format!(
        "set -e; for address in {ADDRESS} 10.99.0.2 10.99.0.9; do ip addr add $address/32 dev lo; done
        mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work
        mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work none /etc"
    );
    engine.within(&["sh", "-c", &script]).ok();
}

/// Makes certificates in the folder `name` of the engine's place.
fn certificates(engine: &Engine, name: &str, address: &str) -> PathBuf {
    let folder = engine.place().join(name);
    std::fs::create_dir(&folder).expect("a folder");
    let script = format!("cd {}; {CERTIFICATES}", folder.display());
    engine.host(&["bash", "-c", &script, "bash", address]).ok();
    folder
}

/// Puts a file into the directory of `certs.d` that belongs to the registry.
fn install(engine: &Engine, host: &str, file: &Path, name: &str) {
    let folder = format!("/etc/docker/certs.d/{host}");
    let script = format!("mkdir -p {folder} && cp {} {folder}/{name}", file.display());
    engine.within(&["sh", "-c", &script]).ok();
}

fn uninstall(engine: &Engine, host: &str) {
    engine.within(&["rm", "-r", &format!("/etc/docker/certs.d/{host}")]).ok();
}

fn listens(engine: &Engine, address: &str) {
    let (host, port) = address.rsplit_once(':').expect("host:port");
    eventually("the server listens", 10, || {
        let probe = engine.host(&["bash", "-c", &format!("exec 3<>/dev/tcp/{host}/{port}")]);
        (probe.code == 0).then_some(())
    });
}

/// berth's own registry over TLS.
fn own_registry(engine: &Engine, certificates: &Path, host: &str, flags: &[&str]) -> Neighbour {
    let mut server = engine.neighbour(binary().to_str().expect("UTF-8"));
    server.args(["registry", "serve", "--listen", host, "--root"]).arg(engine.place().join(format!("own-{host}")));
    server.arg("--tls-cert").arg(certificates.join("server.crt"));
    server.arg("--tls-key").arg(certificates.join("server.key")).args(flags);
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let registry = Neighbour(server.spawn().expect("the registry starts"));
    listens(engine, host);
    registry
}

/// A command of the registry's accounts; the password comes from standard input.
fn account(engine: &Engine, host: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = engine.neighbour(binary().to_str().expect("UTF-8"));
    command.args(["registry"]).args(arguments).arg("--root").arg(engine.place().join(format!("own-{host}")));
    command::run(command, input)
}

/// Debian's registry over TLS with these settings beside its storage.
fn debian_registry(engine: &Engine, certificates: &Path, host: &str, auth: serde_json::Value, asks: bool) -> Neighbour {
    let mut tls = json!({"certificate": certificates.join("server.crt"), "key": certificates.join("server.key")});
    if asks {
        tls["clientcas"] = json!([certificates.join("ca.crt")]);
    }
    let storage = engine.place().join(format!("debian-{host}"));
    let mut settings = json!({
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": storage}},
        "http": {"addr": host, "tls": tls},
    });
    if !auth.is_null() {
        settings["auth"] = auth;
    }
    let path = engine.place().join(format!("debian-{host}.yml"));
    std::fs::write(&path, settings.to_string()).expect("the registry's settings");
    let mut server = engine.neighbour("docker-registry");
    server.arg("serve").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let registry = Neighbour(server.spawn().expect("the registry starts"));
    listens(engine, host);
    registry
}

fn lacks(programs: &[&'static str]) -> Option<&'static str> {
    programs.iter().find(|program| !command::is_installed(program)).copied()
}

#[test]
fn a_registry_is_believed_by_the_authority_of_its_own_directory_only() {
    if let Some(program) = lacks(&["openssl", "bash"]) {
        skip!("{program} is not installed");
    }
    let engine = engine_with(&[]);
    let (right, wrong) = (certificates(&engine, "right", ADDRESS), certificates(&engine, "wrong", ADDRESS));
    let _registry = own_registry(&engine, &right, HOST, &[]);
    let name = format!("{HOST}/team/app:1");
    engine.cli(&["tag", "busybox", &name]).ok();

    install(&engine, HOST, &right.join("client.crt"), "client.cert");
    engine.cli(&["push", &name]).fails("missing key");
    uninstall(&engine, HOST);
    engine.cli(&["push", &name]).fails("certificate");
    install(&engine, HOST, &wrong.join("ca.crt"), "ca.crt");
    // What was read a moment ago is believed for a while.
    eventually("the wrong authority is refused", 15, || {
        engine.cli(&["push", &name]).stderr.contains("certificate").then_some(())
    });
    uninstall(&engine, HOST);
    install(&engine, HOST, &right.join("ca.crt"), "ca.crt");
    eventually("the right authority is believed", 15, || (engine.cli(&["push", &name]).code == 0).then_some(()));
    engine.http().delete(&format!("/images/{name}?force=1")).expect(200);
    assert_eq!(engine.cli(&["run", "--rm", "--pull", "always", "-q", &name, "echo", "came"]).ok(), "came");
}

#[test]
fn an_insecure_registry_needs_no_authority() {
    if let Some(program) = lacks(&["openssl", "bash"]) {
        skip!("{program} is not installed");
    }
    let engine = engine_with(&["--insecure-registry", HOST]);
    // A certificate of another name, by an authority that nobody knows.
    let folder = certificates(&engine, "other", "192.0.2.1");
    let _registry = own_registry(&engine, &folder, HOST, &[]);
    let name = format!("{HOST}/team/app:1");
    engine.cli(&["tag", "busybox", &name]).ok();
    engine.cli(&["push", &name]).ok();
    engine.cli(&["pull", &name]).ok();
}

#[test]
fn a_registry_that_asks_for_a_certificate_gets_the_clients_own() {
    if let Some(program) = lacks(&["openssl", "bash", "docker-registry"]) {
        skip!("{program} is not installed");
    }
    let engine = engine_with(&[]);
    let folder = certificates(&engine, "own", ADDRESS);
    let _registry = debian_registry(&engine, &folder, HOST, json!(null), true);
    let name = format!("{HOST}/team/app:1");
    engine.cli(&["tag", "busybox", &name]).ok();
    install(&engine, HOST, &folder.join("ca.crt"), "ca.crt");
    assert_ne!(engine.cli(&["push", &name]).code, 0);
    install(&engine, HOST, &folder.join("client.crt"), "client.cert");
    install(&engine, HOST, &folder.join("client.key"), "client.key");
    eventually("the client's certificate is shown", 15, || (engine.cli(&["push", &name]).code == 0).then_some(()));
}

#[test]
fn users_come_in_by_token_and_by_basic_and_may_do_what_their_roles_say() {
    if let Some(program) = lacks(&["openssl", "bash"]) {
        skip!("{program} is not installed");
    }
    let engine = engine_with(&[]);
    let folder = certificates(&engine, "own", ADDRESS);
    install(&engine, HOST, &folder.join("ca.crt"), "ca.crt");
    for flags in [&["--auth", "token"][..], &["--auth", "basic"]] {
        let registry = own_registry(&engine, &folder, HOST, flags);
        if flags[1] == "token" {
            for (user, role) in [("ann", "team/**:pull,push"), ("ben", "team/**:pull")] {
                account(&engine, HOST, &["user", "add", user, "--role", role], b"secret-of-user\n").ok();
            }
        }
        let name = format!("{HOST}/team/app:1");
        engine.cli(&["tag", "busybox", &name]).ok();
        assert_ne!(engine.cli(&["push", &name]).code, 0, "nobody pushes without a user");
        let login = |user: &str, password: &str| {
            engine.cli_with(&["login", "-u", user, "--password-stdin", HOST], password.as_bytes())
        };
        login("ann", "wrong").fails("unauthorized");
        login("ann", "secret-of-user").ok();
        engine.cli(&["push", &name]).ok();
        login("ben", "secret-of-user").ok();
        engine.http().delete(&format!("/images/{name}?force=1")).expect(200);
        engine.cli(&["pull", &name]).ok();
        engine.cli(&["push", &name]).fails("denied");
        engine.cli(&["logout", HOST]).ok();
        engine.http().delete(&format!("/images/{name}?force=1")).expect(200);
        assert_ne!(engine.cli(&["pull", &name]).code, 0, "nobody pulls without a user");
        drop(registry);
    }
}

#[test]
fn no_credential_goes_to_a_token_server_of_a_stranger() {
    if let Some(program) = lacks(&["openssl", "bash", "docker-registry"]) {
        skip!("{program} is not installed");
    }
    let engine = engine_with(&[]);
    if engine.is_docker() {
        skip!("dockerd asks any token server");
    }
    let folder = certificates(&engine, "own", ADDRESS);
    install(&engine, HOST, &folder.join("ca.crt"), "ca.crt");
    let asked = engine.place().join("asked");
    let mut stranger = engine.neighbour(env!("CARGO_BIN_EXE_probe"));
    stranger.arg("proxy").arg("10.99.0.2:5444").arg(&asked);
    let _stranger = Neighbour(stranger.spawn().expect("the stranger starts"));
    listens(&engine, "10.99.0.2:5444");
    let token = json!({"token": {
        "realm": "https://10.99.0.2:5444/token",
        "service": "registry",
        "issuer": "nobody",
        "rootcertbundle": folder.join("ca.crt"),
    }});
    let _registry = debian_registry(&engine, &folder, HOST, token, false);
    let auth = r#"{"auths": {"10.99.0.1:5443": {"auth": "YW5uOnNlY3JldA=="}}}"#;
    std::fs::write(engine.place().join("config/config.json"), auth).expect("the client's configuration");
    let connections = || std::fs::read_to_string(&asked).unwrap_or_default().lines().count();
    eventually("the stranger noted the first connection", 10, || (connections() == 1).then_some(()));
    let said = engine.cli(&["pull", &format!("{HOST}/team/app:1")]).fails("10.99.0.2:5444");
    assert!(said.contains("token server") || said.contains("realm"), "{said}");
    assert_eq!(connections(), 1, "the stranger was asked");
}

#[test]
fn a_proxy_stands_between_where_it_is_named_and_not_where_it_is_excepted() {
    if let Some(program) = lacks(&["openssl", "bash"]) {
        skip!("{program} is not installed");
    }
    let flags = ["--https-proxy", "http://ann:secret@10.99.0.9:3128", "--no-proxy", "10.99.0.2"];
    let mut engine = engine_with(&flags);
    if engine.is_docker() {
        skip!("dockerd of this version has no flags for proxies");
    }
    let folder = certificates(&engine, "own", ADDRESS);
    let beside = certificates(&engine, "beside", "10.99.0.2");
    let log = engine.place().join("proxied");
    let mut proxy = engine.neighbour(env!("CARGO_BIN_EXE_probe"));
    proxy.arg("proxy").arg(PROXY).arg(&log);
    let _proxy = Neighbour(proxy.spawn().expect("the proxy starts"));
    listens(&engine, PROXY);
    let (far, near) = (HOST.to_owned(), "10.99.0.2:5443".to_owned());
    let _far = own_registry(&engine, &folder, &far, &[]);
    let _near = own_registry(&engine, &beside, &near, &[]);
    install(&engine, &far, &folder.join("ca.crt"), "ca.crt");
    install(&engine, &near, &beside.join("ca.crt"), "ca.crt");
    let push = |engine: &Engine, host: &str| {
        let name = format!("{host}/team/app:1");
        engine.cli(&["tag", "busybox", &name]).ok();
        engine.cli(&["push", &name]).ok();
    };
    push(&engine, &far);
    push(&engine, &near);
    let told = std::fs::read_to_string(&log).expect("what the proxy saw");
    // "ann:secret" in base64.
    assert!(told.contains("CONNECT 10.99.0.1:5443 Basic YW5uOnNlY3JldA=="), "{told}");
    assert!(!told.contains("10.99.0.2"), "{told}");

    // By variables of the daemon's environment, and by a section of its file.
    engine.stop_daemon();
    std::fs::write(&log, "").expect("the proxy's log");
    engine.set_flags(&[]);
    let variables = [("HTTPS_PROXY", "http://10.99.0.9:3128"), ("NO_PROXY", "10.99.0.2,.example")];
    assert!(engine.start_daemon_with(&variables));
    push(&engine, &far);
    push(&engine, &near);
    let told = std::fs::read_to_string(&log).expect("what the proxy saw");
    assert!(told.contains("CONNECT 10.99.0.1:5443") && !told.contains("10.99.0.2"), "{told}");
    engine.stop_daemon();
    std::fs::write(&log, "").expect("the proxy's log");
    let file = engine.place().join("daemon.json");
    let section = json!({"proxies": {"https-proxy": "http://10.99.0.9:3128", "no-proxy": "10.99.0.2"}});
    std::fs::write(&file, section.to_string()).expect("daemon.json");
    engine.set_flags(&["--config-file", file.to_str().expect("UTF-8")]);
    engine.start_daemon();
    push(&engine, &far);
    push(&engine, &near);
    let told = std::fs::read_to_string(&log).expect("what the proxy saw");
    assert!(told.contains("CONNECT 10.99.0.1:5443") && !told.contains("10.99.0.2"), "{told}");
    engine.stop_daemon();
    engine.set_flags(&flags);
    engine.start_daemon();
}

/// A credential helper that keeps what it is given in a folder.
const HELPER: &str = r#"#!/bin/sh
cd "$(dirname "$0")/kept" || exit 1
case $1 in
store) cat > entry ;;
get) cat > asked; [ -f entry ] && cat entry || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) cat > erased; rm -f entry ;;
list) echo '{}' ;;
esac
"#;

#[test]
fn a_helper_program_keeps_the_credentials() {
    if let Some(program) = lacks(&["openssl", "bash"]) {
        skip!("{program} is not installed");
    }
    let engine = engine_with(&[]);
    let folder = certificates(&engine, "own", ADDRESS);
    install(&engine, HOST, &folder.join("ca.crt"), "ca.crt");
    let _registry = own_registry(&engine, &folder, HOST, &[]);
    account(&engine, HOST, &["user", "add", "ann", "--role", "**:pull,push"], b"secret-of-user\n").ok();
    let programs = engine.place().join("programs");
    std::fs::create_dir_all(programs.join("kept")).expect("a folder");
    let helper = programs.join("docker-credential-test");
    std::fs::write(&helper, HELPER).expect("the helper");
    engine.host(&["chmod", "755", helper.to_str().expect("UTF-8")]).ok();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let run = |arguments: &[&str], input: &[u8]| {
        let wants_berth = std::env::var("BERTH_TEST_CLIENT").is_ok_and(|client| client == "berth");
        let program = if wants_berth { binary() } else { "docker".into() };
        let mut command = engine.client(&program, arguments);
        command.env("PATH", &path);
        command::run(command, input)
    };
    let configuration = engine.place().join("config/config.json");
    let name = format!("{HOST}/team/app:1");
    engine.cli(&["tag", "busybox", &name]).ok();
    for settings in [json!({"credsStore": "test"}), json!({"credHelpers": {HOST: "test"}})] {
        std::fs::write(&configuration, settings.to_string()).expect("the client's configuration");
        assert_ne!(run(&["push", &name], b"").code, 0);
        run(&["login", "-u", "ann", "--password-stdin", HOST], b"secret-of-user").ok();
        let kept = std::fs::read_to_string(programs.join("kept/entry")).expect("what the helper keeps");
        assert!(kept.contains("secret-of-user") && kept.contains(HOST), "{kept}");
        let text = std::fs::read_to_string(&configuration).expect("the client's configuration");
        assert!(!text.contains("auth\""), "no secret stands in {text}");
        run(&["push", &name], b"").ok();
        assert_eq!(std::fs::read_to_string(programs.join("kept/asked")).unwrap_or_default().trim(), HOST);
        run(&["logout", HOST], b"").ok();
        assert!(!programs.join("kept/entry").exists());
    }
}

#[test]
fn the_engine_pulls_through_a_mirror_of_its_own_registry() {
    if let Some(program) = lacks(&["openssl", "bash"]) {
        skip!("{program} is not installed");
    }
    let mut engine = engine_with(&["--registry-mirror", "https://10.99.0.1:5443"]);
    let folder = certificates(&engine, "own", ADDRESS);
    install(&engine, HOST, &folder.join("ca.crt"), "ca.crt");
    // The upstream is another registry of the same kind, without TLS, in place of Docker's.
    let mut upstream = engine.neighbour(binary().to_str().expect("UTF-8"));
    upstream.args(["registry", "serve", "--listen", "127.0.0.1:5000", "--root"]).arg(engine.place().join("upstream"));
    upstream.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let upstream = Neighbour(upstream.spawn().expect("the upstream starts"));
    listens(&engine, "127.0.0.1:5000");
    let _mirror = own_registry(&engine, &folder, HOST, &["--proxy-upstream", "http://127.0.0.1:5000"]);
    engine.cli(&["tag", "busybox", "127.0.0.1:5000/library/tool:1"]).ok();
    engine.cli(&["push", "127.0.0.1:5000/library/tool:1"]).ok();
    engine.http().delete("/images/127.0.0.1:5000/library/tool:1?force=1").expect(200);
    engine.http().delete("/images/busybox?force=1").expect(200);
    engine.cli(&["pull", "tool:1"]).ok();
    assert_eq!(engine.cli(&["run", "--rm", "tool:1", "echo", "mirrored"]).ok(), "mirrored");
    // The mirror has it: the upstream may go.
    drop(upstream);
    engine.http().delete("/images/tool:1?force=1").expect(200);
    engine.cli(&["pull", "tool:1"]).ok();
    engine.stop_daemon();
}
