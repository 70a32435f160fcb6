package main

import (
	"slices"

	"mellium.im/xmpp/roster"
	"mellium.im/xmpp/stanza"
)

// Tests of stanzas.

func presence(from string, kind string) test {
	return func(stanza element) bool { return stanza.is("presence", kind) && stanza.attr("from") == from }
}

func items(iq element) []element { return iq.child("query").Children }

func push(contact, subscription string, more test) test {
	return func(stanza element) bool {
		return stanza.is("iq", "set") && slices.ContainsFunc(items(stanza), func(item element) bool {
			return item.attr("jid") == contact && item.attr("subscription") == subscription && (more == nil || more(item))
		})
	}
}

func with(attr, value string) test {
	return func(item element) bool { return item.attr(attr) == value }
}

func anyPush(stanza element) bool {
	return stanza.is("iq", "set") && stanza.child("query").XMLName.Space == roster.NS
}

// blocking is a push that says that romeo has been blocked or unblocked.
func blocking(name string) test {
	return func(stanza element) bool {
		return stanza.is("iq", "set") && stanza.child(name).child("item").attr("jid") == romeoJID
	}
}

func message(body string) test {
	return func(stanza element) bool { return stanza.is("message", "chat") && stanza.body() == body }
}

func anyMessage(stanza element) bool { return stanza.XMLName.Local == "message" }

func anything(element) bool { return true }

// copied is the message in a copy, or an empty element.
func copied(stanza element, direction string) element {
	return stanza.child(direction).child("forwarded").child("message")
}

func anyCarbon(stanza element) bool {
	return copied(stanza, "sent").body() != "" || copied(stanza, "received").body() != ""
}

// carbon is a copy. The library takes away the sender of what comes from one's own account.
func carbon(direction, body string) test {
	return func(stanza element) bool {
		return stanza.attr("from") == "" && copied(stanza, direction).body() == body
	}
}

// steps are done until one fails.
func steps(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// gets is a step that waits for a stanza.
func gets(client *client, what string, test test) func() error {
	return func() error {
		_, err := client.gets(what, test)
		return err
	}
}

func getsNo(client *client, what string, test test) func() error {
	return func() error { return client.getsNo(what, test) }
}

func sends(client *client, kind stanza.PresenceType, to string) func() error {
	return func() error { return client.presence(kind, to) }
}

func says(client *client, to, body string) func() error {
	return func() error { return client.message(stanza.ChatMessage, to, body) }
}
