package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strings"

	"mellium.im/xmlstream"
	"mellium.im/xmpp/blocklist"
	"mellium.im/xmpp/carbons"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/ping"
	"mellium.im/xmpp/roster"
	"mellium.im/xmpp/stanza"
)

// cast is who takes part in the scenario "people": juliet has the resources five and ten, which have asked for the roster, and minus,
// which has not and takes no messages. It is about what she and romeo, whose accounts are new, see of each other.
type cast struct{ five, ten, minus, romeo *client }

func people() {
	c := new(cast)
	if !check("login", c.login) {
		return
	}
	check("directed", c.directed)
	check("roster", c.roster)
	check("versions", c.versions)
	check("removal", c.removal)
	check("ask", c.ask)
	check("approval", c.approval)
	check("preapproval", c.preapproval)
	check("presence", c.presence)
	check("probe", c.probe)
	check("lost", c.lost)
	check("offline", c.offline)
	check("block", c.block)
	check("blocked", c.blocked)
	check("unblock", c.unblock)
	check("carbons", c.carbons)
	check("private", c.private)
	check("disable", c.disable)
	check("cancel", c.cancel)
	check("forget", c.forget)
	check("end", c.end)
}

var nurse = "nurse@" + domain

func (c *cast) interested() []*client { return []*client{c.five, c.ten} }

// contacts asks for the roster, and gives its version and how many items have come.
func (c *client) contacts(version string) (string, int, error) {
	ctx, cancel := soon()
	defer cancel()
	request := roster.IQ{}
	request.Query.Ver = version
	found := roster.FetchIQ(ctx, request, c.session)
	defer found.Close()
	count := 0
	for found.Next() {
		count++
	}
	return found.Version(), count, found.Err()
}

// enter logs in, asks for the roster and becomes available.
func enter(account, resource string, priority int, withRoster bool) (*client, error) {
	c := newClient(account, resource, priority)
	if err := c.open(way{}); err != nil {
		return nil, err
	}
	if withRoster {
		if _, _, err := c.contacts(""); err != nil {
			return nil, err
		}
	}
	return c, c.available()
}

func (c *client) exit() error {
	return errors.Join(c.presence(stanza.UnavailablePresence, ""), c.leave())
}

// The checks.

func (c *cast) login() (string, error) {
	var errs [4]error
	c.five, errs[0] = enter(juliet, "five", 5, true)
	c.ten, errs[1] = enter(juliet, "ten", 10, true)
	c.minus, errs[2] = enter(juliet, "minus", -1, false)
	c.romeo, errs[3] = enter(romeoJID, "balcony", 0, true)
	if err := errors.Join(errs[:]...); err != nil {
		return "", err
	}
	if _, count, err := c.five.contacts(""); err != nil || count > 0 {
		return "", fmt.Errorf("%d contacts, %w", count, err)
	}
	return "the roster is empty", steps(
		gets(c.ten, "presence of five", presence(c.five.full(), "")),
		gets(c.five, "presence of ten", presence(c.ten.full(), "")),
	)
}

func (c *cast) directed() (string, error) {
	return "", steps(
		sends(c.five, stanza.AvailablePresence, c.romeo.full()),
		gets(c.romeo, "directed presence", presence(c.five.full(), "")),
		sends(c.five, stanza.UnavailablePresence, ""),
		gets(c.romeo, "unavailable presence", presence(c.five.full(), "unavailable")),
		c.five.available,
		getsNo(c.romeo, "presence", presence(c.five.full(), "")),
	)
}

func (c *client) setContact(name string) error {
	ctx, cancel := soon()
	defer cancel()
	return roster.Set(ctx, c.session, roster.Item{JID: jid.MustParse(nurse), Name: name, Group: []string{"Capulets"}})
}

func (c *cast) roster() (string, error) {
	if err := c.five.setContact("Nurse"); err != nil {
		return "", err
	}
	isWhole := func(item element) bool {
		return item.attr("name") == "Nurse" && item.child("group").Text == "Capulets"
	}
	return "pushed to five, ten", steps(
		gets(c.five, "push", push(nurse, "none", isWhole)),
		gets(c.ten, "push", push(nurse, "none", isWhole)),
		getsNo(c.minus, "push", anyPush),
	)
}

func (c *cast) versions() (string, error) {
	if _, ok := c.five.session.Feature(roster.NSFeatures); !ok {
		return "", skip("not offered")
	}
	old, _, err := c.five.contacts("")
	if err != nil || old == "" {
		return "", fmt.Errorf("the version is %q: %w", old, err)
	}
	if _, count, err := c.five.contacts(old); err != nil || count > 0 {
		return "", fmt.Errorf("what was known was sent again: %w", err)
	}
	if err := c.five.setContact("Angelica"); err != nil {
		return "", err
	}
	isNew := push(nurse, "none", with("name", "Angelica"))
	pushed, err := c.five.gets("push", isNew)
	if err != nil {
		return "", err
	}
	if pushed.child("query").attr("ver") == old {
		return "", errors.New("the version stays")
	}
	if _, count, err := c.five.contacts(old); err != nil || count > 0 {
		return "the whole roster", err
	}
	return "pushes", gets(c.five, "push in place of the roster", isNew)()
}

func (c *client) remove(contact string) error {
	ctx, cancel := soon()
	defer cancel()
	return roster.Delete(ctx, c.session, jid.MustParse(contact))
}

// removalOf is the payload that removes a contact. The library's own function does not look at the answer.
func removalOf(contact string) xml.TokenReader {
	item := roster.Item{JID: jid.MustParse(contact), Subscription: "remove"}
	query := xml.StartElement{Name: xml.Name{Space: roster.NS, Local: "query"}}
	return xmlstream.Wrap(item.TokenReader(), query)
}

func (c *cast) removal() (string, error) {
	err := steps(
		func() error { return c.five.remove(nurse) },
		gets(c.five, "push", push(nurse, "remove", nil)),
		gets(c.ten, "push", push(nurse, "remove", nil)),
	)
	if err != nil {
		return "", err
	}
	refused, err := c.five.refused(stanza.SetIQ, "", removalOf(nurse))
	if err == nil && refused != "item-not-found" {
		err = fmt.Errorf("the second time %q", refused)
	}
	return "the second time " + refused, err
}

func (c *cast) ask() (string, error) {
	err := steps(
		sends(c.romeo, stanza.SubscribePresence, juliet),
		gets(c.romeo, "push", push(juliet, "none", with("ask", "subscribe"))),
		gets(c.five, "request", presence(romeoJID, "subscribe")),
		gets(c.ten, "request", presence(romeoJID, "subscribe")),
	)
	if err != nil {
		return "", err
	}
	late, err := enter(juliet, "late", 0, true)
	if err != nil {
		return "", err
	}
	err = steps(gets(late, "request that waits", presence(romeoJID, "subscribe")), late.exit)
	return "five, ten; again at the next login", err
}

func (c *cast) approval() (string, error) {
	err := steps(
		sends(c.ten, stanza.SubscribedPresence, romeoJID),
		gets(c.romeo, "approval", presence(juliet, "subscribed")),
		gets(c.romeo, "push", push(juliet, "to", with("ask", ""))),
	)
	for _, client := range c.interested() {
		err = errors.Join(err, steps(
			gets(client, "push", push(romeoJID, "from", nil)),
			gets(c.romeo, "presence of "+client.name, presence(client.full(), "")),
		))
	}
	return "", err
}

func (c *cast) preapproval() (string, error) {
	_, isOffered := c.romeo.session.Feature("urn:xmpp:features:pre-approval")
	approve := sends(c.romeo, stanza.SubscribedPresence, juliet)
	before, after := steps, func(...func() error) error { return nil }
	if !isOffered {
		before, after = after, steps
	}
	err := steps(
		func() error { return before(approve, c.romeo.settle) },
		sends(c.five, stanza.SubscribePresence, romeoJID),
		func() error { return after(gets(c.romeo, "request", presence(juliet, "subscribe")), approve) },
		gets(c.five, "approval", presence(romeoJID, "subscribed")),
		gets(c.five, "push", push(romeoJID, "both", nil)),
		gets(c.romeo, "push", push(juliet, "both", nil)),
		gets(c.five, "presence", presence(c.romeo.full(), "")),
	)
	if err != nil {
		return "", err
	}
	if !isOffered {
		return "", skip("not offered")
	}
	return "", steps(
		getsNo(c.romeo, "request", presence(juliet, "subscribe")),
		gets(c.romeo, "push with approved", push(juliet, "to", with("approved", "true"))),
	)
}

func (c *cast) presence() (string, error) {
	err := c.five.presence(stanza.AvailablePresence, "", text("show", "away"), text("status", "asleep"), text("priority", "5"))
	isAway := presence(c.five.full(), "").and(func(stanza element) bool {
		return stanza.child("show").Text == "away" && stanza.child("status").Text == "asleep"
	})
	for _, client := range []*client{c.romeo, c.ten, c.minus} {
		err = errors.Join(err, gets(client, "presence", isAway)())
	}
	return "romeo and her own resources", err
}

func (c *cast) probe() (string, error) {
	was := c.romeo.full()
	err := steps(c.romeo.exit, gets(c.five, "unavailable presence", presence(was, "unavailable")))
	if err != nil {
		return "", err
	}
	if c.romeo, err = enter(romeoJID, "garden", 0, true); err != nil {
		return "", err
	}
	isAway := func(stanza element) bool { return stanza.child("show").Text == "away" }
	return "five is away, ten, minus", steps(
		gets(c.romeo, "presence of five", presence(c.five.full(), "").and(isAway)),
		gets(c.romeo, "presence of ten", presence(c.ten.full(), "")),
		gets(c.romeo, "presence of minus", presence(c.minus.full(), "")),
		gets(c.five, "presence", presence(c.romeo.full(), "")),
	)
}

func (c *cast) lost() (string, error) {
	was := c.ten.full()
	err := steps(
		c.ten.session.Conn().Close,
		gets(c.romeo, "unavailable presence", presence(was, "unavailable")),
		gets(c.five, "unavailable presence", presence(was, "unavailable")),
	)
	if err != nil {
		return "", err
	}
	if c.ten, err = enter(juliet, "ten", 10, true); err != nil {
		return "", err
	}
	return "", gets(c.romeo, "presence", presence(c.ten.full(), ""))()
}

func (c *cast) offline() (string, error) {
	for _, client := range []*client{c.five, c.ten, c.minus} {
		was := client.full()
		if err := steps(client.exit, gets(c.romeo, "unavailable", presence(was, "unavailable"))); err != nil {
			return "", err
		}
	}
	err := errors.Join(
		c.romeo.message(stanza.ChatMessage, juliet, "one"),
		c.romeo.message(stanza.HeadlineMessage, juliet, "news"),
		c.romeo.message(stanza.ChatMessage, juliet, "two"),
		c.romeo.message(stanza.NormalMessage, juliet, "three"),
	)
	if err != nil {
		return "", err
	}
	if c.minus, err = enter(juliet, "minus", -1, false); err != nil {
		return "", err
	}
	if err := c.minus.getsNo("message", anyMessage); err != nil {
		return "", err
	}
	if c.five, err = enter(juliet, "five", 5, true); err != nil {
		return "", err
	}
	var got []string
	for range 3 {
		message, err := c.five.gets("message that waited", anyMessage)
		if err != nil {
			return "", fmt.Errorf("got %v, %w", got, err)
		}
		got = append(got, message.body())
		by := message.child("delay").attr("from")
		if message.attr("from") != c.romeo.full() || by != domain && by != juliet {
			return "", fmt.Errorf("from %s, delayed by %q", message.attr("from"), by)
		}
	}
	if strings.Join(got, ", ") != "one, two, three" {
		return "", fmt.Errorf("got %v", got)
	}
	if err := c.five.getsNo("fourth message", anyMessage); err != nil {
		return "", err
	}
	if c.ten, err = enter(juliet, "ten", 10, true); err != nil {
		return "", err
	}
	return "in order, once, not to priority -1", c.ten.getsNo("message", anyMessage)
}

// blocklist is who is blocked.
func (c *client) blocklist() (string, error) {
	ctx, cancel := soon()
	defer cancel()
	found := blocklist.Fetch(ctx, c.session)
	defer found.Close()
	var names []string
	for found.Next() {
		names = append(names, found.JID().String())
	}
	return strings.Join(names, ", "), found.Err()
}

// blocks is a step that sees to it that exactly these are blocked.
func blocks(client *client, expected string) func() error {
	return func() error {
		found, err := client.blocklist()
		if err == nil && found != expected {
			err = fmt.Errorf("%s has blocked %q, not %q", client.name, found, expected)
		}
		return err
	}
}

func (c *cast) block() (string, error) {
	ctx, cancel := soon()
	defer cancel()
	if _, err := c.romeo.rest(anything); err != nil {
		return "", err
	}
	err := steps(
		blocks(c.five, ""),
		blocks(c.ten, ""),
		func() error { return blocklist.Add(ctx, c.five.session, jid.MustParse(romeoJID)) },
	)
	for _, client := range c.interested() {
		err = errors.Join(err, steps(
			gets(client, "push", blocking("block")),
			gets(c.romeo, "unavailable", presence(client.full(), "unavailable")),
		))
	}
	if err := errors.Join(err, blocks(c.ten, romeoJID)(), says(c.five, romeoJID, "from the one who blocks")()); err != nil {
		return "", err
	}
	refused, err := c.five.gets("error", func(stanza element) bool { return stanza.is("message", "error") })
	if err == nil && (refused.errorCondition() != "not-acceptable" || refused.child("error").child("blocked").XMLName.Local == "") {
		err = fmt.Errorf("the error is %v", refused.child("error"))
	}
	return "", err
}

func (c *cast) blocked() (string, error) {
	refused, err := c.romeo.refused(stanza.GetIQ, c.five.full(), empty(ping.NS, "ping"))
	if err != nil || refused != "service-unavailable" {
		return "", fmt.Errorf("a ping: %q, %w", refused, err)
	}
	heard := func(stanza element) bool {
		from := strings.Split(stanza.attr("from"), "/")[0]
		return stanza.XMLName.Local != "iq" && from == romeoJID && stanza.attr("type") != "error"
	}
	if _, err := c.five.rest(heard); err != nil {
		return "", err
	}
	err = steps(says(c.romeo, juliet, "can you hear me?"), c.romeo.available, getsNo(c.five, "stanza of his", heard))
	if err != nil {
		return "", err
	}
	answers, err := c.romeo.rest(anyMessage)
	answer := "silence"
	if len(answers) > 0 {
		answer = answers[0].errorCondition()
	}
	if err == nil && answer != "silence" && (answer != "service-unavailable" || len(answers) > 1) {
		err = fmt.Errorf("a message: %v", answers)
	}
	return fmt.Sprintf("a request: %s; a message: %s", refused, answer), err
}

func (c *cast) unblock() (string, error) {
	ctx, cancel := soon()
	defer cancel()
	err := blocklist.Remove(ctx, c.five.session, jid.MustParse(romeoJID))
	for _, client := range c.interested() {
		err = errors.Join(err, steps(
			gets(client, "push", blocking("unblock")),
			gets(c.romeo, "presence of "+client.name, presence(client.full(), "")),
		))
	}
	return "presence and messages are back", errors.Join(err, steps(
		blocks(c.five, ""),
		says(c.romeo, c.five.full(), "and now?"),
		gets(c.five, "message", message("and now?")),
	))
}

func (c *cast) carbons() (string, error) {
	ctx, cancel := soon()
	defer cancel()
	return "sent, received", steps(
		func() error { return carbons.Enable(ctx, c.ten.session) },
		says(c.five, romeoJID, "to romeo"),
		gets(c.romeo, "message", message("to romeo")),
		gets(c.ten, "copy", carbon("sent", "to romeo").and(func(stanza element) bool {
			return copied(stanza, "sent").attr("from") == c.five.full()
		})),
		says(c.romeo, c.five.full(), "to five"),
		gets(c.five, "message", message("to five")),
		gets(c.ten, "copy", carbon("received", "to five").and(func(stanza element) bool {
			return copied(stanza, "received").attr("to") == c.five.full()
		})),
		getsNo(c.five, "copy", anyCarbon),
	)
}

// secret is a step that sends a message that is not copied.
func secret(client *client, to, body string) func() error {
	return func() error {
		ctx, cancel := soon()
		defer cancel()
		// The library looks at the namespace, and doesn't set it by itself.
		name := xml.Name{Space: stanza.NSClient, Local: "message"}
		message := stanza.Message{XMLName: name, To: jid.MustParse(to), Type: stanza.ChatMessage}
		return errors.Join(client.session.Send(ctx, carbons.Private(message.Wrap(text("body", body)))), client.settle())
	}
}

func (c *cast) private() (string, error) {
	return "", steps(
		secret(c.five, romeoJID, "in secret"),
		gets(c.romeo, "message", message("in secret")),
		secret(c.romeo, c.five.full(), "in secret, too"),
		gets(c.five, "message", message("in secret, too")),
		getsNo(c.ten, "copy", anyCarbon),
	)
}

func (c *cast) disable() (string, error) {
	ctx, cancel := soon()
	defer cancel()
	return "", steps(
		func() error { return carbons.Disable(ctx, c.ten.session) },
		says(c.five, romeoJID, "no copies"),
		gets(c.romeo, "message", message("no copies")),
		getsNo(c.ten, "copy", anyCarbon),
	)
}

func (c *cast) cancel() (string, error) {
	if _, err := c.romeo.rest(anything); err != nil {
		return "", err
	}
	err := steps(
		sends(c.five, stanza.UnsubscribedPresence, romeoJID),
		gets(c.romeo, "cancellation", presence(juliet, "unsubscribed")),
		gets(c.romeo, "push", push(juliet, "from", nil)),
	)
	for _, client := range c.interested() {
		err = errors.Join(err, steps(
			gets(client, "push", push(romeoJID, "to", nil)),
			gets(c.romeo, "unavailable", presence(client.full(), "unavailable")),
		))
	}
	return "", err
}

func (c *cast) forget() (string, error) {
	return "", steps(
		func() error { return c.romeo.remove(juliet) },
		gets(c.romeo, "push", push(juliet, "remove", nil)),
		gets(c.five, "cancellation", presence(romeoJID, "unsubscribed")),
		gets(c.five, "push", push(romeoJID, "none", nil)),
		gets(c.five, "unavailable", presence(c.romeo.full(), "unavailable")),
	)
}

func (c *cast) end() (string, error) {
	return "", steps(c.five.leave, c.ten.leave, c.minus.leave, c.romeo.leave)
}
