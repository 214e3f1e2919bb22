// SPDX-License-Identifier: Apache-2.0

// Groups of franz-go, and what its admin client asks about them.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const groupPartitions = 6

// What was published and how often it was consumed.
type ledger struct {
	sync.Mutex
	topic     string
	published int
	consumed  map[string]int
}

func (l *ledger) publish(ctx context.Context, address string, count int) {
	client := open(address, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	for i := 0; i < count*groupPartitions; i++ {
		r := &kgo.Record{Topic: l.topic, Partition: int32(i % groupPartitions), Value: []byte(fmt.Sprint(l.published))}
		check(fmt.Sprintf("publish %d", l.published), client.ProduceSync(ctx, r).FirstErr())
		l.published++
	}
}

func (l *ledger) complete() bool {
	l.Lock()
	defer l.Unlock()
	return len(l.consumed) == l.published
}

func (l *ledger) again() int {
	l.Lock()
	defer l.Unlock()
	n := 0
	for _, times := range l.consumed {
		n += times - 1
	}
	return n
}

// Consumes in a goroutine and commits before it polls again.
type member struct {
	sync.Mutex
	client *kgo.Client
	owned  map[int32]bool
	done   chan struct{}
}

func join(ctx context.Context, address, group string, l *ledger, options ...kgo.Opt) *member {
	m := &member{owned: map[int32]bool{}, done: make(chan struct{})}
	own := func(have bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			m.Lock()
			defer m.Unlock()
			for _, p := range partitions[l.topic] {
				if have {
					m.owned[p] = true
				} else {
					delete(m.owned, p)
				}
			}
		}
	}
	m.client = open(address, append(options, kgo.ConsumerGroup(group), kgo.ConsumeTopics(l.topic), kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(100*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.OnPartitionsAssigned(own(true)),
		kgo.OnPartitionsRevoked(own(false)), kgo.OnPartitionsLost(own(false)), kgo.FetchMaxWait(50*time.Millisecond))...)
	go func() {
		defer close(m.done)
		for {
			fetches := m.client.PollFetches(ctx)
			if fetches.IsClientClosed() {
				return
			}
			fetches.EachRecord(func(r *kgo.Record) {
				l.Lock()
				defer l.Unlock()
				l.consumed[string(r.Value)]++
			})
			if err := m.client.CommitUncommittedOffsets(ctx); err != nil {
				check("commit", err)
			}
			m.client.AllowRebalance()
		}
	}()
	return m
}

func (m *member) has() int {
	m.Lock()
	defer m.Unlock()
	return len(m.owned)
}

func (m *member) leave() {
	m.client.CloseAllowingRebalance()
	<-m.done
}

func until(what string, condition func() bool) {
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			check(what, errors.New("not in time"))
		}
	}
	fmt.Println("ok:", what)
}

func groups(ctx context.Context, address string, admin *kadm.Client, name string, balancer kgo.GroupBalancer) {
	l := &ledger{topic: "shared-" + name, consumed: map[string]int{}}
	_, err := admin.CreateTopic(ctx, groupPartitions, 1, nil, l.topic)
	check("create", err)
	l.publish(ctx, address, 10)
	one := join(ctx, address, name, l, kgo.Balancers(balancer))
	until(name+": the first member has all", func() bool { return one.has() == groupPartitions })
	two := join(ctx, address, name, l, kgo.Balancers(balancer))
	until(name+": two share", func() bool { return one.has() == 3 && two.has() == 3 })
	l.publish(ctx, address, 10)
	until(name+": everything has come", l.complete)
	two.leave()
	until(name+": one has all again", func() bool { return one.has() == groupPartitions })
	l.publish(ctx, address, 10)
	until(name+": everything has come", l.complete)
	same(l.again(), 0, name+": nothing came again")
	groupAdmin(ctx, admin, name, one, l)
}

func groupAdmin(ctx context.Context, admin *kadm.Client, name string, last *member, l *ledger) {
	listed, err := admin.ListGroups(ctx)
	check("list groups", err)
	same(listed[name].State, "Stable", name+": listed")
	described, err := admin.DescribeGroups(ctx, name, "nobody")
	check("describe groups", err)
	same(len(described[name].Members), 1, name+": described")
	same(described["nobody"].State, "Dead", "a group that does not exist is dead")
	lag, err := admin.Lag(ctx, name)
	check("lag", err)
	same(lag[name].Lag.Total(), 0, name+": no lag")
	last.leave()
	var reset kadm.Offsets
	reset.Add(kadm.Offset{Topic: l.topic, Partition: 0, At: 2, LeaderEpoch: -1, Metadata: "why"})
	_, err = admin.CommitOffsets(ctx, name, reset)
	check("commit as admin", err)
	fetched, err := admin.FetchOffsets(ctx, name)
	check("fetch offsets", err)
	same(fetched[l.topic][0].At, 2, name+": offsets are altered")
	same(fetched[l.topic][0].Metadata, "why", name+": with metadata")
	forget := kadm.TopicsSet{}
	forget.Add(l.topic, 1)
	_, err = admin.DeleteOffsets(ctx, name, forget)
	check("delete offsets", err)
	fetched, err = admin.FetchOffsets(ctx, name)
	check("fetch offsets", err)
	same(len(fetched[l.topic]), groupPartitions-1, name+": an offset is deleted")
	gone, err := admin.DeleteGroups(ctx, name)
	check("delete group", errors.Join(err, gone[name].Err))
	gone, err = admin.DeleteGroups(ctx, name)
	check("delete group again", err)
	same(errors.Is(gone[name].Err, kerr.GroupIDNotFound), true, name+": it has gone")
}
