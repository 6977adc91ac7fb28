//! A volume plugin of the suite's own: directories below a folder, over a unix socket, with a switch to hang.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};

/// What it has and was asked.
#[derive(Default)]
pub struct State {
    /// Volumes with who mounted them.
    pub volumes: Mutex<BTreeMap<String, Vec<String>>>,
    /// Calls in order.
    pub calls: Mutex<Vec<String>>,
    /// Whole answers to calls, in place of what it would say.
    pub raw: Mutex<BTreeMap<String, String>>,
    /// From now on it takes questions and answers none.
    pub hangs: AtomicBool,
}

/// Serves at `socket`, with volumes below `root`, until the process ends.
pub fn serve(socket: &Path, root: PathBuf) -> Arc<State> {
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    std::fs::create_dir_all(&root).unwrap();
    let state = Arc::new(State::default());
    let listener = UnixListener::bind(socket).unwrap();
    let shared = state.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (state, root) = (shared.clone(), root.clone());
            std::thread::spawn(move || answer(stream, &state, &root));
        }
    });
    state
}

fn answer(mut stream: UnixStream, state: &State, root: &Path) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let call = line.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let question: Value = serde_json::from_slice(&body).unwrap_or_default();
    state.calls.lock().unwrap().push(call.clone());
    while state.hangs.load(Ordering::Relaxed) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    if let Some(raw) = state.raw.lock().unwrap().get(&call) {
        return stream.write_all(raw.as_bytes()).ok();
    }
    let text = act(&call, &question, state, root).to_string();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len()).ok()
}

fn act(call: &str, question: &Value, state: &State, root: &Path) -> Value {
    let name = question["Name"].as_str().unwrap_or_default();
    let place = root.join(name);
    let mut volumes = state.volumes.lock().unwrap();
    let unknown = json!({"Err": format!("no volume {name}")});
    match call {
        "Plugin.Activate" => json!({"Implements": ["VolumeDriver"]}),
        "VolumeDriver.Create" => {
            if let Some(key) = question["Opts"].as_object().and_then(|options| options.keys().next()) {
                return json!({"Err": format!("option {key} is none of mine")});
            }
            std::fs::create_dir_all(&place).unwrap();
            volumes.insert(name.to_owned(), Vec::new());
            json!({"Err": ""})
        }
        "VolumeDriver.List" => {
            let all: Vec<Value> = volumes.keys().map(|name| json!({"Name": name})).collect();
            json!({"Volumes": all, "Err": ""})
        }
        "VolumeDriver.Get" if volumes.contains_key(name) => {
            json!({"Volume": {"Name": name, "Mountpoint": place, "Status": {"replicas": 3}}, "Err": ""})
        }
        "VolumeDriver.Mount" => match volumes.get_mut(name) {
            Some(users) => {
                users.push(question["ID"].as_str().unwrap_or_default().to_owned());
                json!({"Mountpoint": place, "Err": ""})
            }
            None => unknown,
        },
        "VolumeDriver.Unmount" => {
            if let Some(users) = volumes.get_mut(name) {
                users.clear();
            }
            json!({"Err": ""})
        }
        "VolumeDriver.Remove" if volumes.remove(name).is_some() => {
            std::fs::remove_dir_all(&place).unwrap();
            json!({"Err": ""})
        }
        _ => unknown,
    }
}
