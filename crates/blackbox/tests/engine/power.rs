//! Power cuts: an engine works on its disk in a machine that is cut off at any moment and switched on again, over and
//! over on the same disk. The daemon always starts, what was acknowledged as durable is there, and `berth fsck` finds
//! nothing wrong.
//!
//! The machine's memory is lost with each cut, and with it all that its kernel had not flushed. What it flushed is on
//! the disk: QEMU passes flushes on, and dies by SIGKILL, which loses nothing of this machine's own memory. A disk that
//! lies about flushes is not what is tried.
//!
//! `make test-vm` cuts a few times; `make test-power` sets `BERTH_POWER_CUTS`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use berth_blackbox::guest::Guest;
use berth_blackbox::skip;

/// Starts the daemon, tells what it has, and works at random until the end. `TRY` stands before what is asked for,
/// `ACK` after it was acknowledged.
const SCRIPT: &str = r#"
berth daemon --log-level warn >/var/log 2>&1 &
daemon=$!
n=0
until berth version >/dev/null 2>&1; do
    n=$((n + 1)); sleep 0.1
    if [ $n -gt 300 ] || ! kill -0 $daemon 2>/dev/null; then echo DEAD; cat /var/log; exit 1; fi
done
berth volume ls -q | sed 's/^/HAS volume /'
berth network ls --format '{{.Name}}' | sed 's/^/HAS network /'
berth ps -a --format '{{.Names}}' | sed 's/^/HAS container /'
berth images --format '{{.Repository}}' | sed 's/^/HAS image /'
berth fsck > /tmp/fsck 2>&1; echo "FSCK $?"; [ -s /tmp/fsck ] && sed 's/^/fsck: /' /tmp/fsck
# What is there can be used.
one=$(berth ps -aq | head -n 1)
if [ -n "$one" ]; then berth start $one >/dev/null 2>/tmp/start || { echo BROKEN; cat /tmp/start; }; fi
if ! berth images -q base | grep -q .; then
    mkdir -p /tmp/base/bin && cp /bin/busybox /tmp/base/bin/sh
    (cd /tmp/base && tar cf - .) | berth import --change 'CMD ["/bin/sh", "-c", "echo word > /file; sync"]' - base >/dev/null
fi
echo LISTED
ask() { echo "TRY $1 $2 $3"; shift 3; "$@" >/dev/null 2>&1; }
while :; do
    name=x$((RANDOM % 12))
    case $((RANDOM % 9)) in
    0) ask add volume $name berth volume create $name && echo "ACK add volume $name" ;;
    1) ask rm volume $name berth volume rm $name && echo "ACK rm volume $name" ;;
    2) ask add network $name berth network create $name && echo "ACK add network $name" ;;
    3) ask rm network $name berth network rm $name && echo "ACK rm network $name" ;;
    4|5) ask add container $name berth create --name $name -v $name:/v base && echo "ACK add container $name" ;;
    6) ask rm container $name berth rm -f $name && echo "ACK rm container $name" ;;
    7) ask add image $name berth commit $(berth ps -aq | head -n 1) $name && echo "ACK add image $name" ;;
    8) if [ $((RANDOM % 2)) = 0 ]; then ask rm image $name berth rmi $name && echo "ACK rm image $name"
       else berth run --rm base >/dev/null 2>&1; fi ;;
    esac
done
"#;

/// What must be so for a thing, from what was asked and acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    Here,
    Gone,
    /// Asked for and not acknowledged: both are right.
    Open,
}

type Model = BTreeMap<String, Truth>;

/// Takes over what a machine's console said of a boot; what is wrong with what it has.
fn account(said: &str, model: &mut Model) -> Result<(), String> {
    let mut has: Vec<String> = Vec::new();
    for line in said.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "HAS" => has.push(rest.to_owned()),
            "FSCK" => {
                if rest != "0" {
                    return Err("fsck is not clean".into());
                }
                compare(&has, model)?;
            }
            "DEAD" | "BROKEN" => return Err(word.to_owned()),
            "TRY" => {
                if let Some((_, thing)) = rest.split_once(' ') {
                    model.insert(thing.to_owned(), Truth::Open);
                    // A container brings a volume of its name.
                    if let Some(name) = rest.strip_prefix("add container ") {
                        model.insert(format!("volume {name}"), Truth::Open);
                    }
                }
            }
            "ACK" => {
                if let Some((verb, thing)) = rest.split_once(' ') {
                    model.insert(thing.to_owned(), if verb == "add" { Truth::Here } else { Truth::Gone });
                    if let Some(name) = rest.strip_prefix("add container ") {
                        model.insert(format!("volume {name}"), Truth::Here);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The list against the model; what was open is settled by it.
fn compare(has: &[String], model: &mut Model) -> Result<(), String> {
    for (thing, truth) in model.iter_mut() {
        let here = has.contains(thing);
        match truth {
            Truth::Here if !here => return Err(format!("lost, though acknowledged: {thing}")),
            Truth::Gone if here => return Err(format!("here again, though its removal was acknowledged: {thing}")),
            _ => *truth = if here { Truth::Here } else { Truth::Gone },
        }
    }
    Ok(())
}

/// One disk, cut `cuts` times; (boots in which the load had begun, acknowledged changes).
fn cut_and_boot(guest: &Guest, cuts: u64, seed: u64) -> (u64, usize) {
    let mut model = Model::new();
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |limit: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % limit
    };
    let (mut loaded, mut acknowledged) = (0, 0);
    for cut in 0..=cuts {
        let mut machine = guest.boot();
        // One in six dies while it still starts and recovers.
        let while_starting = cut > 0 && cut < cuts && below(6) == 0;
        if while_starting {
            machine.says("GUEST-UP", 60);
            std::thread::sleep(Duration::from_millis(below(2500)));
        } else if machine.says("LISTED", 120) {
            loaded += 1;
            std::thread::sleep(Duration::from_millis(100 + below(4000)));
        }
        let said = machine.cut();
        acknowledged += said.lines().filter(|line| line.starts_with("ACK ")).count();
        assert!(while_starting || said.contains("LISTED"), "seed {seed}, boot {cut}: it does not come up\n{said}");
        if let Err(wrong) = account(&said, &mut model) {
            panic!("seed {seed}, boot {cut}: {wrong}\n{said}");
        }
    }
    (loaded, acknowledged)
}

#[test]
fn nothing_durable_is_lost_by_power_cuts() {
    let wanted = std::env::var("BERTH_POWER_CUTS").ok().and_then(|text| text.parse::<u64>().ok());
    if wanted.is_none() && std::env::var_os("BERTH_TEST_VM").is_none() {
        skip!("machines are tried by make test-vm, long runs of power cuts by make test-power");
    }
    let cuts = wanted.unwrap_or(4);
    let disks = if cuts > 20 { 2 } else { 1 };
    let files: [(&Path, &str); 1] = [(&berth_blackbox::engine::binary(), "/usr/bin/berth")];
    let seed = std::env::var("BERTH_POWER_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| std::process::id().into());
    let guests: Result<Vec<Guest>, String> = (0..disks).map(|_| Guest::build(SCRIPT, &files)).collect();
    let guests = match guests {
        Ok(guests) => guests,
        Err(why) => skip!("{why}"),
    };
    let (loaded, acknowledged) = std::thread::scope(|scope| {
        let seeds = seed..;
        let runs: Vec<_> = guests
            .iter()
            .zip(seeds)
            .map(|(guest, seed)| scope.spawn(move || cut_and_boot(guest, cuts / disks, seed)))
            .collect();
        runs.into_iter().map(|run| run.join().expect("a run")).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    println!("{cuts} cuts, {loaded} under load, {acknowledged} acknowledged changes, seed {seed}");
    assert!(acknowledged as u64 >= cuts, "the load did hardly anything: {acknowledged} changes");
}

#[test]
fn the_account_bites() {
    let mut model = Model::new();
    account("TRY add volume a\nACK add volume a\nTRY rm volume b", &mut model).expect("nothing is claimed yet");
    account("HAS volume a\nFSCK 0", &mut model).expect("all is there");
    assert!(account("HAS volume a\nFSCK 1", &mut model).is_err());
    assert!(account("FSCK 0", &mut model).unwrap_err().contains("lost"));
    account("TRY rm volume a\nACK rm volume a", &mut model).expect("nothing is claimed yet");
    assert!(account("HAS volume a\nFSCK 0", &mut model).unwrap_err().contains("here again"));
}
