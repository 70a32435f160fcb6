-- Prosody as `cargo xtask federate` runs it: in a network of its own, with other servers.
run_as_root = true
pidfile = "@DIR@/prosody.pid"
data_path = "@DIR@/data"
plugin_paths = {}
log = { @LOG@ = "@DIR@/prosody.log" }

interfaces = { "@IP@" }
c2s_ports = { 5222 }
c2s_direct_tls_ports = { 5223 }
s2s_ports = { 5269 }
s2s_direct_tls_ports = { 5270 }
modules_enabled = {
	"saslauth", "tls", "s2s", "s2s_bidi", @DIALBACK@"s2s_auth_certs", "roster", "disco", "ping", "version", "offline", "blocklist", "carbons",
	@NEWEST@"smacks",
	@REGISTRATION@"register_ibr",
}

c2s_require_encryption = true
s2s_require_encryption = true
s2s_secure_auth = @STRICT@
@REGISTRATION@gc = { mode = "generational" }
authentication = "internal_hashed"
allow_registration = @OPEN@
limits = {}

ssl = { certificate = "@CERT@", key = "@KEY@", cafile = "@CA@" }
certificates = "@DIR@"
c2s_direct_tls_ssl = ssl
s2s_direct_tls_ssl = ssl

VirtualHost "@DOMAIN@"
	ssl = { certificate = "@CERT@", key = "@KEY@", cafile = "@CA@" }
