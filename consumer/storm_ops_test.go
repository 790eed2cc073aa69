package consumer

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/operation"
)

// crowd is a publisher of whatever there is, drawn at random: operations of all types
// and priorities on a few entities, with parents, retries, expiry and carrying;
// cancellations; the same again; and what makes no sense.
type crowd struct {
	w        *world
	r        *rand.Rand // of the round
	entities []uuid.UUID
	ops      []operation.Operation // all so far
}

const crowdEntities = 7

func newCrowd(w *world) *crowd {
	c := &crowd{w: w}
	for i := range crowdEntities {
		c.entities = append(c.entities, w.entity(fmt.Sprintf("valve-%d", i+1)))
	}
	return c
}

// publish publishes n messages at once.
func (c *crowd) publish(n int) {
	c.w.t.Helper()
	for range n {
		switch x := c.r.IntN(100); {
		case x < 4 && len(c.ops) > 0:
			c.w.cancel(c.earlier())
		case x < 8 && len(c.ops) > 0:
			c.w.submit(c.earlier())
		case x < 9 && len(c.ops) > 0:
			again := c.earlier()
			again.Params = []byte(`{"field":"counter","value":-1,"create":true}`)
			c.w.submit(again)
		case x < 10:
			c.w.publish(c.w.space.Submit(c.priority(), c.entity()), []byte("what is this"))
		default:
			o := c.adorn(c.operation())
			c.ops = append(c.ops, o)
			c.w.submit(o)
		}
	}
}

func (c *crowd) entity() uuid.UUID { return c.entities[c.r.IntN(len(c.entities))] }

func (c *crowd) priority() operation.Priority {
	all := operation.Priorities()
	return all[c.r.IntN(len(all))]
}

// earlier returns one of the latest operations.
func (c *crowd) earlier() operation.Operation {
	latest := c.ops[max(0, len(c.ops)-20):]
	return latest[c.r.IntN(len(latest))]
}

func (c *crowd) operation() operation.Operation {
	target, p := c.entity(), c.priority()
	switch x := c.r.IntN(100); {
	case x < 30:
		return count(target, p)
	case x < 45:
		return modify(target, p, fmt.Sprint(c.r.IntN(1000)))
	case x < 55:
		return borrow(target, c.entity(), p)
	case x < 60:
		return op(operation.VersionEntity, target, p, `{}`)
	case x < 68:
		return attach(target, c.entity(), p)
	case x < 72:
		return op(operation.DetachEntity, target, p, `{}`)
	case x < 75:
		return op(operation.DeleteEntity, target, p, `{}`)
	case x < 80:
		return create(c.entity())
	case x < 93:
		s := script{Take: fmt.Sprintf("%dms", 2+c.r.IntN(400)), Fail: c.r.IntN(3), Set: []byte("1"), Version: c.r.IntN(2) == 0}
		s.Permanent, s.Panic = c.r.IntN(10) == 0, c.r.IntN(10) == 0
		return slow(target, p, s)
	}
	return pure(target, p, script{Until: time.Now().Add(time.Duration(c.r.IntN(500)) * time.Millisecond), Set: []byte("2")})
}

// adorn gives an operation what it may have besides.
func (c *crowd) adorn(o operation.Operation) operation.Operation {
	if c.r.IntN(5) == 0 && len(c.ops) > 0 {
		o = under(c.earlier(), o)
	}
	if c.r.IntN(6) == 0 {
		o = carry(o)
	}
	if c.r.IntN(4) == 0 {
		o = retries(c.r.IntN(5), o)
	}
	if c.r.IntN(12) == 0 {
		o = expiring(time.Duration(c.r.IntN(3000))*time.Millisecond, o)
	}
	if c.r.IntN(6) == 0 {
		o.CreatedAt = time.Now().Add(-time.Duration(c.r.IntN(4000)) * time.Millisecond).UTC()
	}
	return o
}
