// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// --- the clock ---------------------------------------------------------------------------------------

const second = uint64(time.Second)

var (
	originTime = time.Now()
	originNs   = monotonicNs()
)

func monotonicNs() uint64 {
	var at syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&at)), 0)
	return uint64(at.Nano())
}

// clock is CLOCK_MONOTONIC in nanoseconds, one origin for all processes of a machine. Go reads the same clock without a
// system call, but tells only differences.
func clock() uint64 {
	return originNs + uint64(time.Since(originTime))
}

// exactSleep lets all threads wake when they asked to: by default the kernel may be 50 us late. It needs a program
// without cgo.
func exactSleep() {
	const prSetTimerslack = 29
	syscall.AllThreadsSyscall(syscall.SYS_PRCTL, prSetTimerslack, 1, 0)
}

// waitUntil returns at or after a time of clock(), or early. time.Sleep would be late by up to a millisecond, because
// Go's poller counts in these.
func waitUntil(ns uint64) {
	const monotonic, absolute = 1, 1
	at := syscall.NsecToTimespec(int64(ns))
	syscall.Syscall6(syscall.SYS_CLOCK_NANOSLEEP, monotonic, absolute, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
}

// --- /proc -------------------------------------------------------------------------------------------

const ticksPerSecond = 100 // USER_HZ, which Linux shows to every program

// cost is what a process has used until now.
type cost struct {
	atNs         uint64
	broker       float64 // CPU seconds of all its threads; 0 without a pid
	own          float64 // CPU seconds of this program
	stolen       float64 // seconds that the host took from all processors
	brokerMemory uint64  // resident bytes
}

func costNow(pid int) cost {
	c := cost{atNs: clock()}
	c.own, _ = processCost("self")
	if pid != 0 {
		c.broker, c.brokerMemory = processCost(fmt.Sprint(pid))
	}
	if all, err := os.ReadFile("/proc/stat"); err == nil {
		var user, nice, system, idle, wait, irq, soft, steal uint64
		fmt.Sscanf(string(all), "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &wait, &irq, &soft, &steal)
		c.stolen = float64(steal) / ticksPerSecond
	}
	return c
}

func processCost(pid string) (cpu float64, memory uint64) {
	line, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		fail("no process %s: %v", pid, err)
	}
	// The name in parentheses may hold anything; the fields are counted from behind it.
	fields := strings.Fields(string(line[strings.LastIndexByte(string(line), ')')+1:]))
	var user, system, pages uint64
	if _, err = fmt.Sscan(fields[11]+" "+fields[12]+" "+fields[21], &user, &system, &pages); err != nil {
		fail("/proc/%s/stat: %v", pid, err)
	}
	return float64(user+system) / ticksPerSecond, pages * uint64(os.Getpagesize())
}
