//! Who may do what.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::{
    access::password,
    ledger::account::{self, Account, Role},
};

fn add(running: &Running, name: &str, roles: &[(&str, &str)]) {
    let account = Account { name: name.to_owned(), kind: "user".to_owned(), secret: password::hash(name).unwrap() };
    let roles: Vec<Role> = roles
        .iter()
        .map(|(pattern, actions)| Role {
            account: name.to_owned(),
            pattern: (*pattern).to_owned(),
            actions: (*actions).to_owned(),
        })
        .collect();
    let is_person = name != "anonymous";
    running
        .registry
        .depot
        .ledger
        .write_blocking("test", move |c| {
            if is_person {
                account::add(c, &account)?;
            }
            roles.iter().try_for_each(|role| account::set_role(c, role))
        })
        .unwrap();
}

fn basic(name: &str, password: &str) -> Option<String> {
    Some(format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_decide_and_no_repository_reads_anothers_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(dir.path().to_owned());
    settings.audit = Some(dir.path().join("audit"));
    let running = start(settings).await;
    let mut owner = running.client().await;
    let (_, secret) = owner.push_image("private/app", "1", b"secret layer").await;
    owner.push_image("public/app", "1", b"open layer").await;
    add(&running, "anna", &[("team/**", "pull,push"), ("public/*", "pull")]);
    add(&running, "root", &[("**", "admin")]);
    add(&running, "anonymous", &[("public/*", "pull")]);

    let mut nobody = running.client().await;
    let refused = nobody.get("/v2/").await.expect(401);
    assert!(refused.header("www-authenticate").starts_with("Bearer realm=\"http://127.0.0.1:"));
    nobody.get("/v2/public/app/manifests/1").await.expect(200);
    let refused = nobody.get("/v2/private/app/manifests/1").await.expect(401);
    assert!(refused.header("www-authenticate").contains("scope=\"repository:private/app:pull\""));

    let mut anna = running.client().await;
    anna.authorization = basic("anna", "anna");
    anna.get("/v2/").await.expect(200);
    anna.push_image("team/web", "1", b"web").await;
    anna.get("/v2/private/app/manifests/1").await.expect(403);
    anna.ask("POST", "/v2/public/app/blobs/uploads/", &[], "").await.expect(403);
    anna.ask("DELETE", "/v2/team/web/manifests/1", &[], "").await.expect(403);
    // The bytes are in the store, and still not hers: not by a link of her own, not by a mount.
    anna.get(&format!("/v2/team/web/blobs/{secret}")).await.expect(404);
    for query in [format!("mount={secret}&from=private/app"), format!("mount={secret}")] {
        anna.ask("POST", &format!("/v2/team/web/blobs/uploads/?{query}"), &[], "").await.expect(202);
    }
    let open = digest(b"open layer");
    anna.ask("POST", &format!("/v2/team/web/blobs/uploads/?mount={open}&from=public/app"), &[], "").await.expect(201);
    let catalog = anna.get("/v2/_catalog").await.expect(200).json();
    assert_eq!(catalog["repositories"], serde_json::json!(["public/app", "team/web"]));
    anna.get("/metrics").await.expect(403);
    let mut root = running.client().await;
    root.authorization = basic("root", "root");
    let metrics = root.get("/metrics").await.expect(200).body;
    assert!(String::from_utf8_lossy(&metrics).contains("berth_registry_requests_total{action=\"pull\",code=\"2xx\"}"));
    let log = std::fs::read_to_string(dir.path().join("audit")).unwrap();
    let denied = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|line| line["account"] == "anna" && line["repository"] == "private/app" && line["action"] == "pull");
    assert_eq!(denied.unwrap()["status"], 403);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_carry_what_was_granted_and_end_with_their_account() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(Settings::new(dir.path().to_owned())).await;
    running.client().await.push_image("team/app", "1", b"layer").await;
    add(&running, "anna", &[("team/*", "pull")]);
    let mut client = running.client().await;
    client.get("/token?scope=repository:team/app:pull,push").await.expect(200);
    client.authorization = basic("anna", "wrong");
    client.get("/token").await.expect(401);
    client.authorization = basic("anna", "anna");
    let token = client.get("/token?service=x&scope=repository:team/app:pull,push").await.expect(200).json();
    client.authorization = Some(format!("Bearer {}", token["token"].as_str().unwrap()));
    client.get("/v2/team/app/manifests/1").await.expect(200);
    client.ask("POST", "/v2/team/app/blobs/uploads/", &[], "").await.expect(403);
    let form = "grant_type=password&username=anna&password=anna&scope=repository:team/other:pull&service=x";
    let mut other = running.client().await;
    let token = other.ask("POST", "/token", &[], form).await.expect(200).json();
    other.authorization = Some(format!("Bearer {}", token["access_token"].as_str().unwrap()));
    // Hers to read, but not by this token.
    other.get("/v2/team/app/manifests/1").await.expect(401);
    running.registry.depot.ledger.write_blocking("test", |c| account::remove(c, "anna")).unwrap();
    add(&running, "bert", &[]);
    client.get("/v2/team/app/manifests/1").await.expect(401);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slow() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(dir.path().to_owned());
    settings.limits.failures_per_minute = 3;
    let path = dir.path().join("htpasswd");
    std::fs::write(&path, format!("carl:{}\n", password::hash("carl").unwrap())).unwrap();
    settings.htpasswd = Some(path);
    let running = start(settings).await;
    let mut client = running.client().await;
    client.authorization = basic("carl", "carl");
    client.push_image("any/thing", "1", b"x").await;
    client.authorization = basic("carl", "guess");
    for _ in 0..3 {
        client.get("/v2/").await.expect(401);
    }
    assert_ne!(client.get("/v2/").await.expect(429).header("retry-after"), "");
    running.end().await;
}
