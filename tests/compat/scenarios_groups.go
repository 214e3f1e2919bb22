// SPDX-License-Identifier: Apache-2.0

// The scenarios of groups for franz-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const groupPartitions = 4

// What was published, and how often it was consumed.
type ledger struct {
	sync.Mutex
	topic     string
	published int
	consumed  map[string]int
}

func (l *ledger) publish() {
	publish(address, numbered(40, func(i int) *kgo.Record {
		return &kgo.Record{Topic: l.topic, Partition: int32(i % groupPartitions), Key: []byte(strconv.Itoa(l.published + i))}
	}), 40, manual)
	l.published += 40
	until("everything has come", func() bool {
		l.Lock()
		defer l.Unlock()
		return len(l.consumed) == l.published
	})
}

func (l *ledger) check() {
	for key, times := range l.consumed {
		same(times, 1, "how often "+key+" came")
	}
}

// Consumes in a goroutine and commits before it polls again.
type member struct {
	sync.Mutex
	client      *kgo.Client
	owned       map[int32]bool
	revocations int
	done        chan struct{}
}

func join(group string, l *ledger, options ...kgo.Opt) *member {
	m := &member{owned: map[int32]bool{}, done: make(chan struct{})}
	given := func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
		m.Lock()
		defer m.Unlock()
		for _, p := range partitions[l.topic] {
			m.owned[p] = true
		}
	}
	taken := func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
		m.Lock()
		defer m.Unlock()
		for _, p := range partitions[l.topic] {
			delete(m.owned, p)
			m.revocations++
		}
	}
	m.client = open(address, append(options, kgo.ConsumerGroup(group), kgo.ConsumeTopics(l.topic), kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(100*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(kgo.RangeBalancer()),
		kgo.OnPartitionsAssigned(given), kgo.OnPartitionsRevoked(taken), kgo.OnPartitionsLost(taken))...)
	go m.run(l)
	return m
}

func (m *member) run(l *ledger) {
	defer close(m.done)
	for {
		fetches := m.client.PollFetches(ctx)
		if fetches.IsClientClosed() {
			return
		}
		fetches.EachRecord(func(r *kgo.Record) {
			l.Lock()
			defer l.Unlock()
			l.consumed[string(r.Key)]++
		})
		err := m.client.CommitUncommittedOffsets(ctx)
		if errors.Is(err, kgo.ErrClientClosed) {
			return
		}
		check(err, "commit")
		m.client.AllowRebalance()
	}
}

func (m *member) has() map[int32]bool {
	m.Lock()
	defer m.Unlock()
	return maps.Clone(m.owned)
}

func (m *member) revoked() int {
	m.Lock()
	defer m.Unlock()
	return m.revocations
}

func (m *member) leave() {
	m.client.CloseAllowingRebalance()
	<-m.done
}

func until(what string, condition func() bool) {
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			check(errors.New("not in time"), what)
		}
	}
}

func share(members ...*member) {
	until(fmt.Sprintf("%d share", len(members)), func() bool {
		sum := 0
		for _, m := range members {
			if len(m.has()) == 0 {
				return false
			}
			sum += len(m.has())
		}
		return sum == groupPartitions
	})
}

func sharing() string {
	l := &ledger{topic: "groups", consumed: map[string]int{}}
	create(l.topic, groupPartitions, nil)
	one := join("groups", l)
	share(one)
	l.publish()
	two := join("groups", l)
	share(one, two)
	three := join("groups", l)
	share(one, two, three)
	l.publish()
	one.leave()
	share(two, three)
	two.leave()
	share(three)
	l.publish()
	three.leave()
	l.check()
	return ""
}

func instances() string {
	l := &ledger{topic: "static", consumed: map[string]int{}}
	create(l.topic, groupPartitions, nil)
	one, two := join("static", l, kgo.InstanceID("one")), join("static", l, kgo.InstanceID("two"))
	share(one, two)
	l.publish()
	owned, revocations := two.has(), one.revoked()
	two.leave()
	two = join("static", l, kgo.InstanceID("two"))
	share(one, two)
	l.publish()
	same(two.has(), owned, "what comes back")
	same(one.revoked(), revocations, "the other one's revocations")
	one.leave()
	two.leave()
	l.check()
	return ""
}

func groupAdministration() {
	l := &ledger{topic: "admin", consumed: map[string]int{}}
	m := join("admin", l)
	until("a member", func() bool { return len(m.has()) == 5 })
	described, err := admin.DescribeGroups(ctx, "admin")
	check(err, "describe groups")
	same(described["admin"].State, "Stable", "the group's state")
	same(len(described["admin"].Members), 1, "its members")
	m.leave()
	var reset kadm.Offsets
	reset.Add(kadm.Offset{Topic: "admin", Partition: 0, At: 5, LeaderEpoch: -1})
	_, err = admin.CommitOffsets(ctx, "admin", reset)
	check(err, "commit as admin")
	fetched, err := admin.FetchOffsets(ctx, "admin")
	check(err, "fetch offsets")
	same(fetched["admin"][0].At, 5, "the altered offset of a group")
	gone, err := admin.DeleteGroups(ctx, "admin")
	check(errors.Join(err, gone["admin"].Err), "delete group")
	listed, err := admin.ListGroups(ctx)
	check(err, "list groups")
	_, there := listed["admin"]
	same(there, false, "the group is deleted")
}
