-- Prosody as `cargo xtask interop` runs it: no federation, logins with SCRAM only.
run_as_root = true
pidfile = "@DIR@/prosody.pid"
data_path = "@DIR@/data"
plugin_paths = {}
log = { debug = "@DIR@/prosody.log" }

interfaces = { "@HOST@" }
c2s_ports = { @PORT@ }
c2s_direct_tls_ports = { @TLS_PORT@ }
modules_enabled = { "saslauth", "tls", "roster", "disco", "ping", "version", "register_ibr", "user_account_management", "offline", "blocklist", "carbons", "smacks", "csi_simple" }
modules_disabled = { "s2s" }

c2s_require_encryption = true
authentication = "internal_hashed"
disable_sasl_mechanisms = { "PLAIN", "OAUTHBEARER" }
allow_registration = true
limits = {}
smacks_hibernation_time = @RESUMPTION@
-- Whoever has just sent something is not taken for inactive before that is over.
csi_resume_inactive_delay = 0.1

local tls = { certificate = "@CERT@", key = "@KEY@" }
c2s_direct_tls_ssl = tls

VirtualHost "localhost"
	ssl = tls
