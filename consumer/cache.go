package consumer

import (
	"github.com/google/uuid"

	"github.com/hierarchy-events/hierarchy/ecsstore"
)

// cacheBytes is about how much memory the cached heads of a worker may take.
const cacheBytes = 128 << 20

// cache keeps the heads that were read or written lately. What it holds may be out
// of date, since other partitions' commits may change an entity: a commit's
// conditions find out. Entities of partitions that another worker owns are likely to
// have changed, so that their heads are kept for one round only.
type cache struct {
	heads   map[uuid.UUID]ecsstore.Head
	foreign map[uuid.UUID]bool // those that are kept for one round
	bytes   int
}

func newCache() *cache {
	return &cache{heads: make(map[uuid.UUID]ecsstore.Head), foreign: make(map[uuid.UUID]bool)}
}

func (c *cache) get(id uuid.UUID) (ecsstore.Head, bool) {
	h, ok := c.heads[id]
	return h, ok
}

func (c *cache) put(id uuid.UUID, h ecsstore.Head, foreign bool) {
	c.drop(id)
	c.heads[id] = h
	c.bytes += weight(h)
	if foreign {
		c.foreign[id] = true
	}
}

// over forgets what is kept for one round.
func (c *cache) over() {
	for id := range c.foreign {
		c.drop(id)
	}
}

// dropAll forgets all heads of which is true.
func (c *cache) dropAll(which func(uuid.UUID) bool) {
	for id := range c.heads {
		if which(id) {
			c.drop(id)
		}
	}
}

func (c *cache) drop(id uuid.UUID) {
	if h, ok := c.heads[id]; ok {
		c.bytes -= weight(h)
		delete(c.heads, id)
		delete(c.foreign, id)
	}
}

// trim forgets heads at random until the cache is small enough. It is called
// between rounds only: a round finds what it has loaded.
func (c *cache) trim() {
	for id := range c.heads {
		if c.bytes <= cacheBytes {
			return
		}
		c.drop(id)
	}
}

// weight is about how many bytes a head takes in memory.
func weight(h ecsstore.Head) int {
	const entity, entry, component = 512, 112, 256
	if h.Entity == nil {
		return entity / 4
	}
	return entity + entry*len(h.Entity.History) + component*len(h.Entity.Components)
}
