-- The tables as they were before collections (version 1), with the same accounts as version-2.redb has.
CREATE TABLE balcony (one boolean PRIMARY KEY CHECK (one), schema integer NOT NULL, secret bytea NOT NULL);
INSERT INTO balcony (one, schema, secret) VALUES (true, 1, decode(repeat('07', 32), 'hex'));

CREATE TABLE accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain text COLLATE "C" NOT NULL,
    local text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    credentials bytea NOT NULL,
    roster_version bigint,
    last_at bigint,
    last_presence text,
    UNIQUE (domain, local)
);
COMMENT ON COLUMN accounts.local IS 'empty for the account of the domain itself';
COMMENT ON COLUMN accounts.created IS 'seconds since 1970';
COMMENT ON COLUMN accounts.last_at IS 'milliseconds since 1970';

CREATE TABLE contacts (
    account bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    contact text COLLATE "C" NOT NULL,
    subscription text CHECK (subscription IN ('none', 'to', 'from', 'both')),
    name text,
    groups text[] NOT NULL,
    ask boolean NOT NULL,
    approved boolean NOT NULL,
    request text,
    PRIMARY KEY (account, contact)
);
COMMENT ON COLUMN contacts.subscription IS 'null if the contact has a request and no item';
COMMENT ON COLUMN contacts.request IS 'the subscription request that waits for the user';

CREATE TABLE roster_changes (
    account bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    version bigint NOT NULL,
    contact text NOT NULL,
    PRIMARY KEY (account, version)
);

CREATE TABLE blocked (
    account bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    jid text COLLATE "C" NOT NULL,
    PRIMARY KEY (account, jid)
);

CREATE TABLE offline (
    account bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    number bigint GENERATED ALWAYS AS IDENTITY,
    at bigint NOT NULL,
    stanza text NOT NULL,
    PRIMARY KEY (account, number)
);
COMMENT ON COLUMN offline.at IS 'milliseconds since 1970';

INSERT INTO accounts (domain, local, created, credentials, roster_version, last_at, last_presence)
    VALUES ('example.net', '', 1795850124, '\x008cffa9d8060180201015ddb99cde1e8610afbb57e5f3f9255a148d9f81d8288ee342475234c80afbfc195ee11c64140970053a412c0b7410b499774f347cc6591ef5cd0180201015ddb99cde1e8610afbb57e5f3f9255a20d786081a3f413b1760fbe9d44035c16702d4024646f7cab25fb8c459821aff9f20cbaffc2458bab3f20048882d0a62ad9968765553e9796e12fedaa0a5b72cbd9c', NULL, NULL, NULL);
INSERT INTO accounts (domain, local, created, credentials, roster_version, last_at, last_presence)
    VALUES ('example.org', 'juliet', 1795850124, '\x008cffa9d80601802010abc1f09f21d3738920711553c04c6d9d14a6e6e4d20b8ce898d7beb5a452a9a4ae9a8c784514b3a84d5cc126ff41a307e864eced334b5540c89301802010abc1f09f21d3738920711553c04c6d9d2061fcecff73198c90c169fe1f98dc5bd5555506f081785950773d5b9452623d552047fd55e26a17bec92243cb95621d4280386a6be632dea256b1b9e981fc29c959', 9, 1795850124069, '<presence from=''juliet@example.org/phone'' type=''unavailable''/>');
INSERT INTO contacts VALUES (2, 'contact0@example.net', 'both', 'Romeo <&> ♥', ARRAY['Montagues', 'Verona']::text[], false, false, NULL);
INSERT INTO contacts VALUES (2, 'contact1@example.net', 'to', 'Romeo <&> ♥', ARRAY['Montagues', 'Verona']::text[], false, false, '<presence from=''contact1@example.net'' type=''subscribe'' id=''&lt;1&gt;''/>');
INSERT INTO contacts VALUES (2, 'contact2@example.net', 'none', 'Romeo <&> ♥', ARRAY['Montagues', 'Verona']::text[], true, false, NULL);
INSERT INTO contacts VALUES (2, 'contact3@example.net', NULL, NULL, '{}', false, false, '<presence from=''contact3@example.net'' type=''subscribe'' id=''&lt;1&gt;''/>');
INSERT INTO roster_changes VALUES (2, 7, 'contact0@example.net');
INSERT INTO roster_changes VALUES (2, 8, 'contact1@example.net');
INSERT INTO roster_changes VALUES (2, 9, 'contact2@example.net');
INSERT INTO blocked VALUES (2, 'contact9@example.net');
INSERT INTO blocked VALUES (2, 'tybalt@example.net/sword');
-- There was another one, which is gone.
SELECT nextval(pg_get_serial_sequence('offline', 'number'));
INSERT INTO offline (account, at, stanza) VALUES (2, 1795850124069, '<message from=''romeo@example.net/garden'' type=''chat''><body>one</body></message>');
INSERT INTO offline (account, at, stanza) VALUES (2, 1795850124069, '<message from=''romeo@example.net/garden'' type=''chat''><body>two &lt;&amp;&gt;</body></message>');
INSERT INTO offline (account, at, stanza) VALUES (2, 1795850124073, '<message from=''romeo@example.net/garden'' type=''chat''><body>three</body></message>');
INSERT INTO accounts (domain, local, created, credentials, roster_version, last_at, last_presence)
    VALUES ('example.org', 'nurse', 1795850124, '\x008cffa9d8060180201057b39383fa31ed209a9a318caef0785414f01b5bc5804256448c67c98875fb882eabb4c953144f3cc60928abf80d7ff77c7e19b0958381c41cb700', NULL, NULL, NULL);
INSERT INTO offline (account, at, stanza) VALUES (3, 1795850124078, '<message from=''romeo@example.net/garden'' type=''chat''><body>four</body></message>');
