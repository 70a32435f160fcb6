-- Prosody as `cargo xtask compare` runs it: what a chat server needs, nothing in the log, no limits.
run_as_root = true
pidfile = "@DIR@/prosody.pid"
data_path = "@DIR@/data"
plugin_paths = {}
log = { warn = "@DIR@/prosody.log" }
gc = { mode = "generational" }

interfaces = { "127.0.0.1" }
c2s_ports = { @PORT@ }
c2s_direct_tls_ports = { @TLS_PORT@ }
modules_enabled = { "saslauth", "tls", "roster", "disco", "ping", "register_ibr", "offline", "blocklist", "carbons", "smacks" }
modules_disabled = { "s2s" }

c2s_require_encryption = false
authentication = "internal_hashed"
allow_registration = true
limits = {}

local tls = { certificate = "@CERT@", key = "@KEY@" }
c2s_direct_tls_ssl = tls

VirtualHost "localhost"
	ssl = tls
