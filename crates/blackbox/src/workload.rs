//! What tests do with an engine again and again: make an image, create, run, wait, read the log.

use serde_json::{Value, json};

use crate::Engine;

impl Engine {
    /// Makes an image of an archive, as `docker import` does.
    pub fn import(&self, name: &str, archive: &[u8], changes: &[&str]) -> String {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        let mut path = format!("/images/create?fromSrc=-&repo={repository}&tag={tag}");
        for change in changes {
            path += &format!("&changes={}", escape(change));
        }
        let answer = self.http().post_tar(&path, archive).expect(200).text();
        let last: Value = serde_json::from_str(answer.trim().lines().last().unwrap_or("")).unwrap_or_default();
        last["status"].as_str().unwrap_or_else(|| panic!("no image from import: {answer}")).to_owned()
    }

    /// Creates a container from `busybox` with `settings` laid over the body; gives its id.
    pub fn create(&self, name: &str, command: &[&str], settings: Value) -> String {
        let mut body = json!({"Image": "busybox", "Cmd": command});
        if let (Some(body), Some(settings)) = (body.as_object_mut(), settings.as_object()) {
            body.extend(settings.clone());
        }
        if crate::machine::are_wanted() && body["HostConfig"]["Runtime"].is_null() {
            body["HostConfig"]["Runtime"] = json!(crate::machine::RUNTIME);
        }
        let path =
            if name.is_empty() { "/containers/create".into() } else { format!("/containers/create?name={name}") };
        let answer = self.http().post_json(&path, &body).expect(201).json();
        answer["Id"].as_str().expect("an id").to_owned()
    }

    /// As [`Engine::create`], and starts it.
    pub fn run(&self, name: &str, command: &[&str], settings: Value) -> String {
        let id = self.create(name, command, settings);
        self.http().post(&format!("/containers/{id}/start")).expect(204);
        id
    }

    /// Runs to the end: (exit code, standard output and error as the log has them).
    pub fn run_to_end(&self, command: &[&str], settings: Value) -> (i64, String) {
        let id = self.run("", command, settings);
        let code = self.wait(&id);
        let (stdout, stderr) = self.logs(&id);
        self.http().delete(&format!("/containers/{id}?force=1&v=1")).expect(204);
        (code, stdout + &stderr)
    }

    /// Waits for a container's end; its exit code.
    pub fn wait(&self, id: &str) -> i64 {
        let answer = self.http().post(&format!("/containers/{id}/wait")).expect(200).json();
        answer["StatusCode"].as_i64().unwrap_or_else(|| panic!("no StatusCode: {answer}"))
    }

    /// A container's log without a terminal: (standard output, standard error).
    pub fn logs(&self, id: &str) -> (String, String) {
        let answer = self.http().get(&format!("/containers/{id}/logs?stdout=1&stderr=1")).expect(200);
        let (stdout, stderr) = crate::http::demultiplex(&answer.body);
        (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned())
    }

    /// `GET /containers/ID/json`.
    pub fn inspect(&self, id: &str) -> Value {
        self.http().get(&format!("/containers/{id}/json")).expect(200).json()
    }
}

/// Percent-encoding for a value in a query.
pub fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
