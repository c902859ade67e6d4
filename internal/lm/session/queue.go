package session

import "sync"

// queue holds events between the goroutine that computes, which never waits, and a reader, who may be slow or none. It
// holds no more than the answer is long: what a reader left is joined with what follows of the same kind.
type queue struct {
	mu     sync.Mutex
	events []Event
	closed bool
	wake   chan struct{} // holds one where there is something new
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// push adds an event.
func (q *queue) push(e Event) {
	q.mu.Lock()
	last := len(q.events) - 1
	switch {
	case last < 0 || q.events[last].Kind != e.Kind || q.events[last].Call != e.Call:
		q.events = append(q.events, e)
	case e.Kind == Progress:
		q.events[last] = e
	case e.Kind == Reasoning || e.Kind == Content || e.Kind == CallArguments:
		q.events[last].Text += e.Text
	default:
		q.events = append(q.events, e)
	}
	q.mu.Unlock()
	q.signal()
}

// close says that no event follows.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next returns the next event, waiting for one; not ok behind the last.
func (q *queue) next() (e Event, ok bool) {
	for {
		q.mu.Lock()
		if len(q.events) > 0 {
			e = q.events[0]
			q.events = q.events[1:]
			q.mu.Unlock()
			return e, true
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			q.signal() // for whoever else waits
			return Event{}, false
		}
		<-q.wake
	}
}
