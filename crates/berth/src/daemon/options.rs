//! The table of all options: dockerd's flags and daemon.json's keys.

use super::option::{
    Effect::{Acts, Ignored, Refused},
    Form::{Flag, Json, List, Map, Number, Text},
    Opt,
};

const fn opt(flag: &'static str, key: &'static str, form: super::option::Form, about: &'static str) -> Opt {
    Opt { flag, short: None, key, form, effect: Acts, reloads: false, about }
}

impl Opt {
    const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    const fn reloads(mut self) -> Self {
        self.reloads = true;
        self
    }

    const fn ignored(mut self, why: &'static str) -> Self {
        self.effect = Ignored(why);
        self
    }

    const fn refused(mut self, why: &'static str) -> Self {
        self.effect = Refused(why);
        self
    }
}

const ONE_BINARY: &str = "berth is one program and starts no containerd";
const OWN_RUNTIME: &str = "berth's own runtime is the only one yet";
const NO_SWARM: &str = "berth has no swarm";

/// All of them, in the order of `--help`.
#[rustfmt::skip]
pub const OPTIONS: &[Opt] = &[
    opt("add-runtime", "runtimes", Json, "Register an additional OCI compatible runtime").ignored(OWN_RUNTIME),
    opt("allow-direct-routing", "allow-direct-routing", Flag, "Allow remote access to published ports on container IP addresses").ignored("containers' own addresses are never filtered"),
    opt("allow-nondistributable-artifacts", "allow-nondistributable-artifacts", List, "Allow push of nondistributable artifacts to registry").ignored("every layer is pushed"),
    opt("api-cors-header", "api-cors-header", Text, "Set CORS headers in the Engine API").refused("removed from the Engine API; put a proxy in front of the daemon"),
    opt("authorization-plugin", "authorization-plugins", List, "Authorization plugins to load").refused("berth has no plugins, and silently skipping authorization would be unsafe"),
    opt("bip", "bip", Text, "IPv4 address for the default bridge, with its prefix length"),
    opt("bip6", "bip6", Text, "IPv6 address for the default bridge, with its prefix length"),
    opt("bridge", "bridge", Text, "Attach containers to a network bridge").short('b'),
    opt("bridge-accept-fwmark", "bridge-accept-fwmark", Text, "In bridge networks, accept packets with this firewall mark/mask").ignored("bridge networks accept marked packets"),
    opt("cdi-spec-dir", "cdi-spec-dirs", List, "Directory with descriptions of devices (CDI); a later one wins (default /etc/cdi and /var/run/cdi)"),
    opt("cgroup-parent", "cgroup-parent", Text, "Set parent cgroup for all containers"),
    opt("config-file", "", Text, "Daemon configuration file (default \"/etc/berth/daemon.json\")"),
    opt("containerd", "containerd", Text, "containerd grpc address").ignored(ONE_BINARY),
    opt("containerd-namespace", "containerd-namespace", Text, "Containerd namespace to use").ignored(ONE_BINARY),
    opt("containerd-plugins-namespace", "containerd-plugin-namespace", Text, "Containerd namespace to use for plugins").ignored(ONE_BINARY),
    opt("cpu-rt-period", "cpu-rt-period", Number, "Limit the CPU real-time period in microseconds for the parent cgroup").ignored("real-time budgets are set for each container"),
    opt("cpu-rt-runtime", "cpu-rt-runtime", Number, "Limit the CPU real-time runtime in microseconds for the parent cgroup").ignored("real-time budgets are set for each container"),
    opt("cri-containerd", "cri-containerd", Flag, "Start containerd with cri").ignored(ONE_BINARY),
    opt("data-root", "data-root", Text, "Root directory of persistent state (default \"/var/lib/berth\")"),
    opt("debug", "debug", Flag, "Enable debug mode").short('D').reloads(),
    opt("default-address-pool", "default-address-pools", Json, "Default address pools for networks: base=10.0.0.0/8,size=24"),
    opt("default-cgroupns-mode", "default-cgroupns-mode", Text, "Default mode for containers cgroup namespace (\"host\" | \"private\")").ignored("containers get a cgroup namespace of their own unless they ask for the host's"),
    opt("default-gateway", "default-gateway", Text, "Default gateway IPv4 address for the default bridge network").ignored("the bridge's own address is the gateway"),
    opt("default-gateway-v6", "default-gateway-v6", Text, "Default gateway IPv6 address for the default bridge network").ignored("the bridge's own address is the gateway"),
    opt("default-ipc-mode", "default-ipc-mode", Text, "Default mode for containers ipc (\"shareable\" | \"private\")").ignored("containers have a private one; `--ipc=shareable` offers it to others"),
    opt("default-network-opt", "default-network-opts", Json, "Default network options").ignored("options are given with each network"),
    opt("default-runtime", "default-runtime", Text, "Default OCI runtime for containers").ignored(OWN_RUNTIME),
    opt("default-shm-size", "default-shm-size", Text, "Default shm size for containers (default 64MiB)"),
    opt("default-stop-timeout", "default-stop-timeout", Number, "Default seconds between a container's stop signal and SIGKILL (default 10)"),
    opt("default-ulimit", "default-ulimits", Json, "Default ulimits for containers: nofile=1024:2048"),
    opt("dns", "dns", List, "DNS server to use"),
    opt("dns-opt", "dns-opts", List, "DNS options to use"),
    opt("dns-search", "dns-search", List, "DNS search domains to use"),
    opt("exec-opt", "exec-opts", List, "Runtime execution options: native.cgroupdriver=cgroupfs (default) or systemd"),
    opt("exec-root", "exec-root", Text, "Root directory for execution state files (default \"/run/berth\")"),
    opt("experimental", "experimental", Flag, "Enable experimental features"),
    opt("feature", "features", Json, "Enable features in the daemon").ignored("berth has no switches for features").reloads(),
    opt("firewall-backend", "firewall-backend", Text, "Firewall backend to use, iptables or nftables").ignored("berth speaks nftables to the kernel itself"),
    opt("fixed-cidr", "fixed-cidr", Text, "IPv4 subnet for the default bridge network"),
    opt("fixed-cidr-v6", "fixed-cidr-v6", Text, "IPv6 subnet for the default bridge network"),
    opt("group", "group", Text, "Group for the unix socket (default \"berth\", else \"docker\")").short('G'),
    opt("help", "", Flag, "Print usage"),
    opt("host", "hosts", List, "Daemon socket(s) to connect to").short('H'),
    opt("host-gateway-ip", "host-gateway-ips", List, "IP addresses that 'host-gateway' in --add-host resolves to").ignored("host-gateway is the address of the container's bridge"),
    opt("http-proxy", "http-proxy", Text, "HTTP proxy URL to use for outgoing traffic"),
    opt("https-proxy", "https-proxy", Text, "HTTPS proxy URL to use for outgoing traffic"),
    opt("icc", "icc", Flag, "Enable inter-container communication for the default bridge network (default true)"),
    opt("init", "init", Flag, "Run an init in the container to forward signals and reap processes"),
    opt("init-path", "init-path", Text, "Path to the docker-init binary").ignored("berth is its own init"),
    opt("insecure-registry", "insecure-registries", List, "Enable insecure registry communication").reloads(),
    opt("ip", "ip", Text, "Host IP for port publishing from the default bridge network (default 0.0.0.0)"),
    opt("ip-forward", "ip-forward", Flag, "Enable IP forwarding in system configuration (default true)"),
    opt("ip-forward-no-drop", "ip-forward-no-drop", Flag, "Do not set the filter-FORWARD policy to DROP").ignored("berth never changes the host's own rules"),
    opt("ip-masq", "ip-masq", Flag, "Enable IP masquerading for the default bridge network (default true)"),
    opt("ip6tables", "ip6tables", Flag, "Enable addition of ip6tables rules").ignored("`iptables` stands for both families"),
    opt("iptables", "iptables", Flag, "Enable addition of packet rules (default true)"),
    opt("ipv6", "ipv6", Flag, "Enable IPv6 networking for the default bridge network"),
    opt("label", "labels", List, "Set key=value labels to the daemon").reloads(),
    opt("live-restore", "live-restore", Flag, "Keep containers running while the daemon is stopped").reloads(),
    opt("log-driver", "log-driver", Text, "Default driver for container logs (default \"json-file\")"),
    opt("log-format", "log-format", Text, "Set the logging format (\"text\"|\"json\")").ignored("the daemon logs text"),
    opt("log-level", "log-level", Text, "Set the logging level (\"debug\"|\"info\"|\"warn\"|\"error\"|\"fatal\") (default \"info\")").short('l'),
    opt("log-opt", "log-opts", Map, "Default log driver options for containers"),
    opt("max-concurrent-downloads", "max-concurrent-downloads", Number, "Set the max concurrent downloads").reloads(),
    opt("max-concurrent-uploads", "max-concurrent-uploads", Number, "Set the max concurrent uploads").reloads(),
    opt("max-download-attempts", "max-download-attempts", Number, "Set the max download attempts for each pull").ignored("a download goes on for as long as its connections bring something").reloads(),
    opt("metrics-addr", "metrics-addr", Text, "Set default address and port to serve the metrics api on").ignored("metrics are not built yet"),
    opt("min-api-version", "min-api-version", Text, "Minimum API version to answer").ignored("every version from 1.24 on is answered"),
    opt("mtu", "mtu", Number, "Set the MTU for the default bridge network (default 1500)"),
    opt("network-control-plane-mtu", "network-control-plane-mtu", Number, "Network Control plane MTU").ignored(NO_SWARM),
    opt("no-new-privileges", "no-new-privileges", Flag, "Set no-new-privileges by default for new containers"),
    opt("no-proxy", "no-proxy", Text, "Hosts or IP addresses for which the proxy is skipped"),
    opt("node-generic-resource", "node-generic-resources", List, "Advertise user-defined resource").ignored(NO_SWARM),
    opt("oom-score-adjust", "oom-score-adjust", Number, "Set the oom_score_adj for the daemon"),
    opt("pidfile", "pidfile", Text, "Path to use for daemon PID file (default \"<exec-root>/berth.pid\")").short('p'),
    opt("publish-policy", "publish-policy", Text, "Whether published ports obey the host's input chains (\"publish\" | \"respect-host-input\")"),
    opt("raw-logs", "raw-logs", Flag, "Full timestamps without ANSI coloring"),
    opt("registry-mirror", "registry-mirrors", List, "Preferred registry mirror").reloads(),
    opt("rootless", "rootless", Flag, "Run as an ordinary user; what happens anyway when one starts the daemon"),
    opt("seccomp-profile", "seccomp-profile", Text, "Path to seccomp profile, or \"builtin\""),
    opt("selinux-enabled", "selinux-enabled", Flag, "Enable selinux support").refused("SELinux labels are not built yet, and doing without would be unsafe"),
    opt("shutdown-timeout", "shutdown-timeout", Number, "Set the shutdown timeout in seconds (default 15)").reloads(),
    opt("storage-driver", "storage-driver", Text, "Storage driver to use: overlay2, erofs or copy").short('s'),
    opt("storage-opt", "storage-opts", List, "Storage driver options: erofs.verity=true"),
    opt("swarm-default-advertise-addr", "swarm-default-advertise-addr", Text, "Set default address or interface for swarm advertised address").ignored(NO_SWARM),
    opt("tls", "tls", Flag, "Use TLS; implied by --tlsverify"),
    opt("tlscacert", "tlscacert", Text, "Trust certs signed only by this CA (default \"~/.docker/ca.pem\")"),
    opt("tlscert", "tlscert", Text, "Path to TLS certificate file (default \"~/.docker/cert.pem\")"),
    opt("tlskey", "tlskey", Text, "Path to TLS key file (default \"~/.docker/key.pem\")"),
    opt("tlsverify", "tlsverify", Flag, "Use TLS and verify the remote"),
    opt("userland-proxy", "userland-proxy", Flag, "Relay [::]:port to published ports (default true)"),
    opt("userland-proxy-path", "userland-proxy-path", Text, "Path to the userland proxy binary").ignored("published ports need no proxy program"),
    opt("userns-remap", "userns-remap", Text, "User/Group setting for user namespaces").ignored("every container has an id range of its own"),
    opt("validate", "", Flag, "Validate daemon configuration and exit"),
    opt("version", "", Flag, "Print version information and quit").short('v'),
    opt("", "builder", Json, "").ignored("building images is not built yet"),
    opt("", "gc", Json, "").reloads(),
    opt("", "policy", Json, "").reloads(),
    opt("", "proxies", Json, ""),
    opt("", "token-servers", List, "").reloads(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_one_name() {
        let mut names: Vec<_> = OPTIONS.iter().map(Opt::name).collect();
        names.sort_unstable();
        let total = names.len();
        names.dedup();
        assert_eq!(names.len(), total);
        let mut letters: Vec<_> = OPTIONS.iter().filter_map(|option| option.short).collect();
        letters.sort_unstable();
        let total = letters.len();
        letters.dedup();
        assert_eq!(letters.len(), total);
    }

    #[test]
    fn what_can_be_reloaded_is_in_the_file() {
        assert!(OPTIONS.iter().filter(|option| option.reloads).all(|option| !option.key.is_empty()));
    }
}
