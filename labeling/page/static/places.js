// Which completion stands on which level. Levels count from 1 (best); several completions on one level are tied. Levels
// between may stay empty while someone ranks: only the order of the occupied ones counts.

export class Places {
  // `names`: the completions in the order shown.
  constructor(names) {
    this.names = names;
    this.level = new Map();
    this.unusable = new Map();
    this.former = [];
  }

  get numLevels() {
    return this.names.length;
  }

  get unplaced() {
    return this.names.filter((name) => !this.level.has(name) && !this.unusable.has(name));
  }

  on(level) {
    return this.names.filter((name) => this.level.get(name) === level);
  }

  // The occupied levels, best first, each a list of names.
  get ranked() {
    const levels = [];
    for (let level = 1; level <= this.numLevels; level++) {
      if (this.on(level).length) levels.push(this.on(level));
    }
    return levels;
  }

  // --- changes: each can be undone --------------------------------------------------------------------------------

  put(name, level) {
    this.#change(name, () => this.level.set(name, level));
  }

  markUnusable(name, reason) {
    this.#change(name, () => this.unusable.set(name, reason));
  }

  markAllUnusable(reason) {
    this.#step(() => {
      this.level.clear();
      for (const name of this.names) this.unusable.set(name, reason);
    });
  }

  unplace(name) {
    this.#change(name, () => {});
  }

  // Gives it a level of its own just above `level` (numLevels + 1: below all), and pushes others aside as needed.
  insertAbove(name, level) {
    this.#change(name, () => this.level.set(name, this.#openAbove(level)));
  }

  // Up: out of a tie to just above it, else to just above the level before; one that is not placed yet goes below the
  // last. False when it is first already.
  moveUp(name) {
    const level = this.level.get(name);
    if (level === undefined) {
      this.insertAbove(name, (this.#occupiedAbove(this.numLevels + 1) ?? 0) + 1);
      return true;
    }
    const target = this.on(level).length > 1 ? level : this.#occupiedAbove(level);
    if (target === undefined) return false;
    this.insertAbove(name, target);
    return true;
  }

  moveDown(name) {
    const level = this.level.get(name);
    if (level === undefined) return false;
    const target = this.on(level).length > 1 ? level : this.#occupiedBelow(level);
    if (target === undefined) return false;
    this.insertAbove(name, target + 1);
    return true;
  }

  // Ties it with the level above; one that is not placed yet, with the last level. False when there is none.
  tieWithAbove(name) {
    const level = this.level.get(name) ?? this.numLevels + 1;
    const above = this.#occupiedAbove(level);
    if (above === undefined) return false;
    this.put(name, above);
    return true;
  }

  undo() {
    const former = this.former.pop();
    if (former) this.restore(former);
    return Boolean(former);
  }

  // --- as plain values, for drafts ---------------------------------------------------------------------------------

  get values() {
    const sorted = (map) => Object.fromEntries([...map].sort());
    return { level: sorted(this.level), unusable: sorted(this.unusable) };
  }

  restore({ level, unusable }) {
    this.level = new Map(Object.entries(level));
    this.unusable = new Map(Object.entries(unusable));
  }

  restoreAnswer({ levels, unusable }) {
    this.unusable = new Map(Object.entries(unusable));
    levels.forEach((names, index) => names.forEach((name) => this.level.set(name, index + 1)));
  }

  // Takes it from where it is and does the rest.
  #change(name, rest) {
    this.#step(() => {
      this.level.delete(name);
      this.unusable.delete(name);
      rest();
    });
  }

  // What was before is kept for undo, unless nothing has changed.
  #step(act) {
    const former = this.values;
    act();
    if (JSON.stringify(former) !== JSON.stringify(this.values)) this.former.push(former);
  }

  // An empty level just above `level`. One of them is empty: there are as many as completions, and one is in hand.
  #openAbove(level) {
    if (level > 1 && !this.on(level - 1).length) return level - 1;
    for (let below = level; below <= this.numLevels; below++) {
      if (this.on(below).length) continue;
      this.#shift(level, below - 1, 1);
      return level;
    }
    let above = level - 1;
    while (this.on(above).length) above--;
    this.#shift(above + 1, level - 1, -1);
    return level - 1;
  }

  #shift(first, last, by) {
    for (const [name, level] of this.level) {
      if (level >= first && level <= last) this.level.set(name, level + by);
    }
  }

  #occupiedAbove(level) {
    for (let above = level - 1; above >= 1; above--) if (this.on(above).length) return above;
    return undefined;
  }

  #occupiedBelow(level) {
    for (let below = level + 1; below <= this.numLevels; below++) if (this.on(below).length) return below;
    return undefined;
  }
}
