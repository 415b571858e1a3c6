// What the pages do beyond links and forms; all of them work without it, too.
//
//   watch: a long poll tells that something changed → the page is fetched anew → what is
//          marked data-live is taken from it
//   Log:   of a log only the lines in sight are in the document; more come by windows
//          of /jobs/lines, and growth by a long poll of it
//
// Text becomes part of the document as text only: nothing here parses markup but the
// browser, when it loads a page of our own.

const page = document.documentElement.dataset;
const url = (path) => new URL((page.root || "") + path, location.href);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const $ = (selector, from = document) => from.querySelector(selector);

// A browser has few connections to a server, for all its tabs together: a page that
// nobody sees, or that was left, must not hold any by waiting.
let inSight = new AbortController();

function look() {
	if (document.hidden) inSight.abort();
	else if (inSight.signal.aborted) inSight = new AbortController();
}
document.addEventListener("visibilitychange", look);
addEventListener("pagehide", () => inSight.abort());
addEventListener("pageshow", look);

function visible() {
	if (!document.hidden) return Promise.resolve();
	return new Promise((done) =>
		document.addEventListener("visibilitychange", () => done(visible()), { once: true }));
}

async function getJson(path, query) {
	const at = url(path), signal = query.wait ? inSight.signal : undefined;
	at.search = new URLSearchParams(query);
	const answer = await fetch(at, { cache: "no-store", signal });
	// Logged out, or the job is gone: the page itself tells.
	if (answer.status === 401 || (answer.status === 404 && path === "dashboard/changes"))
		location.reload();
	if (!answer.ok) throw new Error(`${at.pathname}: ${answer.status}`);
	return answer.json();
}

// Repeat what waits for news; with longer and longer pauses after failures.
async function forever(turn) {
	for (let failures = 0; ;) {
		try {
			if ((await turn()) === false) return;
			failures = 0;
			tellOffline(false);
		} catch (e) {
			if (e.name === "AbortError") {
				await sleep(100);
				continue;
			}
			failures += 1;
			if (failures > 1) tellOffline(true);
			await sleep(Math.min(500 * 2 ** failures, 15000));
		}
	}
}

let offline = false;
function tellOffline(is) {
	if (is === offline) return;
	offline = is;
	const told = $("#told");
	told.classList.toggle("sr", !is);
	told.classList.toggle("offline", is);
	told.textContent = is ? "Connection lost; trying again …" : "";
}

// ---- times and durations

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"]];

function ago(ms) {
	const s = Math.max(0, (Date.now() - ms) / 1000);
	for (const [length, unit] of UNITS)
		if (s >= length) return `${Math.floor(s / length)} ${unit} ago`;
	return "just now";
}

function duration(ms) {
	const s = Math.floor(ms / 1000);
	if (s < 60) return `${s} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
	return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
}

const began = new WeakMap(); // element → when it counted from, by our own clock

function setText(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

function tick() {
	for (const e of document.querySelectorAll("time[data-ago]")) {
		const at = Date.parse(e.dateTime);
		setText(e, ago(at));
		if (e.title.endsWith("UTC")) e.title = new Date(at).toLocaleString();
	}
	for (const e of document.querySelectorAll("[data-elapsed]")) {
		if (!began.has(e)) began.set(e, performance.now() - Number(e.dataset.elapsed));
		setText(e, duration(performance.now() - began.get(e)));
	}
}

// ---- live parts

function getPage(at) {
	return new Promise((done, failed) => {
		const request = new XMLHttpRequest();
		request.open("GET", at);
		request.responseType = "document";
		request.onload = () =>
			request.status === 200 && request.response ? done(request.response)
				: failed(new Error(`${at}: ${request.status}`));
		request.onerror = () => failed(new Error("no answer"));
		request.send();
	});
}

function takeLive(fresh) {
	for (const old of document.querySelectorAll("[data-live]")) {
		const now = fresh.getElementById(old.id);
		if (!now || now.isEqualNode(old)) continue;
		const focus = old.contains(document.activeElement) ? document.activeElement.id : "";
		old.replaceWith(document.adoptNode(now));
		if (focus) document.getElementById(focus)?.focus();
	}
	document.title = fresh.title;
	tick();
}

function watch(query, path, onChange) {
	let version = page.version;
	return forever(async () => {
		// Its title tells also those who look at another tab.
		if (document.hidden) await Promise.race([visible(), sleep(15000)]);
		const wait = document.hidden ? 0 : 50;
		const news = await getJson("dashboard/changes", { ...query, seen: version, wait });
		if (news.version !== version) {
			const fresh = await getPage(path());
			// Not under the finger of who presses a button.
			while ($("[data-live]:active")) await sleep(100);
			takeLive(fresh);
			version = news.version;
			onChange?.();
			await sleep(750); // a busy server is looked at now and then
		}
	});
}

// ---- a log

const ROW = 20; // px, as the style has it
const CHUNK = 500; // lines that are asked for at once
const KEPT = 20000; // lines that are remembered
const TALLEST = 12e6; // px: browsers draw nothing much taller

class Log {
	constructor(section) {
		const { job, attempt, total, end, complete } = section.dataset;
		this.section = section;
		this.query = { id: job, attempt };
		this.total = Number(total);
		this.end = Number(end);
		this.complete = complete === "1";
		this.lines = new Map(); // number → line, or the row that came with the page
		this.asked = new Set(); // chunks under way
		this.marked = [0, 0];
		this.top = 0; // first line in sight, from 0, with its fraction
		this.follow = false;
		this.view = $(".view", section);
		this.adopt();
		this.listen();
		this.begin();
	}

	adopt() {
		for (const row of [...this.view.children]) {
			const n = Number(row.id.slice(1));
			row.removeAttribute("id");
			this.lines.set(n, { n, row: this.dressed(row, n), open: n === this.total && !this.complete });
		}
		this.rows = document.createElement("div");
		this.rows.className = "rows";
		this.slice = document.createElement("div");
		this.slice.className = "slice";
		this.rows.append(this.slice);
		this.view.replaceChildren(this.rows);
		this.view.classList.add("virtual");
		$(".windows", this.section).hidden = true;
		for (const e of this.section.querySelectorAll(".bar [hidden]")) e.hidden = false;
		this.showTimes(localStorage.getItem("times") === "1");
	}

	begin() {
		this.resize();
		if (!this.readHash()) {
			if (this.complete) this.scrollToTop(this.total);
			else this.setFollow(true);
		}
		this.draw();
		if (!this.complete) forever(() => this.grow());
		$("#follow").hidden = this.complete;
	}

	// -- where we are

	get height() { return this.view.clientHeight || 400; }
	get inSight() { return this.height / ROW; }
	get last() { return Math.max(0, this.total - this.inSight); } // the highest top
	get scaled() { return this.total * ROW > TALLEST; }
	get scrollRange() { return Math.max(0, Math.min(this.total * ROW, TALLEST) - this.height); }

	resize() {
		this.rows.style.height = `${Math.min(this.total * ROW, TALLEST)}px`;
		this.view.classList.toggle("short", this.total * ROW < 300);
		$(".none", this.section).hidden = this.total > 0;
		this.view.hidden = this.total === 0;
		this.section.dataset.digits = String(this.total).length;
		setText($("#lines"), `${this.total.toLocaleString("en")} line${this.total === 1 ? "" : "s"}`);
	}

	scrollToTop(top) {
		this.top = Math.min(Math.max(0, top), this.last);
		this.place();
	}

	// The scroll bar's place for the present top.
	place() {
		const share = this.last > 0 ? this.top / this.last : 0;
		this.view.scrollTop = this.scaled ? share * this.scrollRange : this.top * ROW;
		this.scrolled = this.view.scrollTop;
	}

	// Of a log too tall for the browser the bar stands for shares of it; small movements
	// are taken as what they are, so that no line is jumped over.
	onScroll() {
		const at = this.view.scrollTop, moved = at - this.scrolled;
		if (Math.abs(moved) < 1) return this.draw();
		this.scrolled = at;
		const before = this.top;
		if (!this.scaled) this.top = at / ROW;
		else if (at <= 0) this.top = 0;
		else if (at >= this.scrollRange - 1) this.top = this.last;
		else if (Math.abs(moved) < 3 * this.height) this.top += moved / ROW;
		else this.top = at / this.scrollRange * this.last;
		this.top = Math.min(Math.max(0, this.top), this.last);
		if (this.top < before - .5) this.setFollow(false);
		else if (this.top >= this.last - 1 && !this.complete) this.setFollow(true);
		if (this.scaled) {
			clearTimeout(this.settling);
			this.settling = setTimeout(() => { this.place(); this.draw(); }, 200);
		}
		this.draw();
	}

	setFollow(follow) {
		this.follow = follow;
		$("#follow").setAttribute("aria-pressed", String(follow));
		if (follow) this.scrollToTop(this.total);
	}

	showTimes(show) {
		this.section.classList.toggle("times", show);
		$("#times").setAttribute("aria-pressed", String(show));
	}

	// -- rows

	dressed(row, n) {
		const time = $("time", row), at = Date.parse(time.dateTime);
		const local = new Date(at - new Date(at).getTimezoneOffset() * 60000);
		time.title = time.dateTime;
		setText(time, local.toISOString().slice(11, 23));
		row.dataset.n = n;
		return row;
	}

	makeRow(line) {
		const row = document.createElement("div"), number = document.createElement("a");
		const time = document.createElement("time"), text = document.createElement("span");
		row.className = `l ${line.stream}`;
		number.href = `#L${line.n}`;
		number.textContent = line.n;
		time.dateTime = new Date(Math.min(line.time, 8.64e15)).toISOString();
		let at = 0;
		for (const [from, length, classes] of line.spans ?? []) {
			const span = document.createElement("span");
			text.append(line.text.slice(at, from));
			at = from + length;
			span.className = classes;
			span.textContent = line.text.slice(from, at);
			text.append(span);
		}
		text.append(line.text.slice(at));
		row.append(number, time, text);
		return this.dressed(row, line.n);
	}

	emptyRow(n) {
		const row = document.createElement("div"), number = document.createElement("a");
		const text = document.createElement("span");
		row.className = "l awaited";
		number.href = `#L${n}`;
		number.textContent = n;
		text.textContent = "…";
		row.append(number, text);
		row.dataset.n = n;
		return row;
	}

	draw() {
		const first = Math.max(0, Math.floor(this.top) - 5);
		const end = Math.min(this.total, Math.ceil(this.top + this.inSight) + 5);
		const rows = [], [from, to] = this.marked;
		for (let n = first + 1; n <= end; n++) {
			const line = this.lines.get(n);
			const row = line ? (line.row ??= this.makeRow(line)) : this.emptyRow(n);
			row.classList.toggle("marked", n >= from && n <= to);
			rows.push(row);
		}
		const y = this.view.scrollTop + (first - this.top) * ROW;
		this.slice.style.transform = `translateY(${Math.max(0, Math.round(y))}px)`;
		if (rows.length !== this.slice.children.length ||
		    rows.some((row, i) => row !== this.slice.children[i]))
			this.slice.replaceChildren(...rows);
		this.section.dataset.first = first + 1;
		this.need(first + 1, end);
	}

	need(from, to) {
		for (let n = from; n <= to; n++) {
			if (this.lines.has(n)) continue;
			const chunk = Math.floor((n - 1) / CHUNK);
			if (!this.asked.has(chunk)) this.load(chunk, n);
			n = (chunk + 1) * CHUNK;
		}
	}

	async load(chunk, missing) {
		// Backwards one reads towards the beginning of the chunk.
		let from = chunk * CHUNK + 1;
		while (from < missing && this.lines.has(from)) from++;
		this.asked.add(chunk);
		try {
			while (from <= Math.min((chunk + 1) * CHUNK, this.total)) {
				const answer = await getJson("jobs/lines", { ...this.query, from, count: (chunk + 1) * CHUNK - from + 1 });
				if (!answer.lines.length) break;
				this.learn(answer.lines);
				from += answer.lines.length;
				this.draw();
			}
		} catch {
			await sleep(2000);
		}
		this.asked.delete(chunk);
	}

	learn(lines) {
		for (const line of lines) this.lines.set(line.n, line);
		if (this.lines.size <= KEPT) return;
		for (const n of this.lines.keys())
			if (Math.abs(n - this.top) > KEPT / 4) this.lines.delete(n);
	}

	// -- growth

	async grow() {
		await visible();
		const answer = await getJson("jobs/lines", { ...this.query, tail: 200, after: this.end, wait: 25 });
		// What was open may have grown.
		for (let n = this.total; n > 0 && this.lines.get(n)?.open; n--) this.lines.delete(n);
		this.learn(answer.lines);
		this.end = answer.end;
		this.total = answer.total;
		this.resize();
		if (this.follow) this.scrollToTop(this.total);
		this.draw();
		if (answer.complete) {
			this.complete = true;
			this.section.dataset.complete = "1";
			$("#follow").hidden = true;
			return false;
		}
		return sleep(200);
	}

	// -- links to lines

	goTo(n) {
		this.setFollow(false);
		this.scrollToTop(n - 1 - Math.floor(this.inSight / 3));
		this.draw();
	}

	mark(from, to) {
		this.marked = from <= to ? [from, to] : [to, from];
		this.draw();
	}

	readHash() {
		const match = /^#L(\d+)(?:-L(\d+))?$/.exec(location.hash);
		if (!match) return false;
		this.mark(Number(match[1]), Number(match[2] ?? match[1]));
		this.goTo(this.marked[0]);
		return true;
	}

	onNumber(event, n) {
		event.preventDefault();
		const [from] = this.marked;
		if (event.shiftKey && from) this.mark(from, n);
		else this.mark(n, n);
		const [a, b] = this.marked;
		history.replaceState(null, "", a === b ? `#L${a}` : `#L${a}-L${b}`);
	}

	// -- looking for text

	async find(text) {
		const told = $(".find output", this.section);
		const start = this.found && this.sought === text ? this.found + 1 : 1;
		this.sought = text;
		told.textContent = "…";
		for (let from = start, wrapped = start === 1; ;) {
			const answer = await getJson("jobs/lines", { ...this.query, from, find: text });
			if (this.sought !== text) return;
			if (answer.found) {
				this.found = answer.found;
				this.mark(answer.found, answer.found);
				this.goTo(answer.found);
				told.textContent = "";
				return;
			}
			if (!answer.next && wrapped) break;
			from = answer.next ?? 1;
			wrapped ||= !answer.next;
		}
		this.found = 0;
		told.textContent = "not found";
	}

	listen() {
		this.view.addEventListener("scroll", () => this.onScroll(), { passive: true });
		new ResizeObserver(() => {
			if (this.follow) this.scrollToTop(this.total);
			this.draw();
		}).observe(this.view);
		this.view.addEventListener("click", (event) => {
			const number = event.target.closest(".l > a");
			if (number) this.onNumber(event, Number(number.parentElement.dataset.n));
		});
		addEventListener("hashchange", () => this.readHash());
		$("#follow").addEventListener("click", () => this.setFollow(!this.follow));
		$("#times").addEventListener("click", () => {
			const show = !this.section.classList.contains("times");
			this.showTimes(show);
			localStorage.setItem("times", show ? "1" : "0");
		});
		$(".find", this.section).addEventListener("submit", (event) => {
			event.preventDefault();
			const text = new FormData(event.target).get("find");
			if (text) this.find(text).catch(() => setText($(".find output"), "no answer"));
		});
	}
}

// ---- the pages

function tell(text) {
	if (!offline) setText($("#told"), text);
}

async function act(form) {
	const button = $("button", form), job = $("#job").dataset.job;
	button.disabled = true;
	try {
		const answer = await fetch(url(`jobs/${form.dataset.verb}`), {
			method: "POST",
			headers: { "Content-Type": "application/json" },
			body: JSON.stringify({ jobId: job }),
		});
		if (answer.ok) return;
		const told = document.createElement("p");
		told.className = "alert";
		told.setAttribute("role", "alert");
		told.textContent = (await answer.json()).error;
		form.closest(".title").after(told);
	} catch {
		form.submit(); // as without a script
	}
	button.disabled = false;
}

function jobPage() {
	const section = $("#log"), log = section && new Log(section);
	const path = () => {
		const at = new URL(location.href);
		at.searchParams.set("part", "head");
		at.hash = "";
		return at;
	};
	const pinned = new URLSearchParams(location.search).has("attempt");
	const { job, attempt } = $("#job").dataset;
	let state = $("#job").dataset.state;

	document.addEventListener("submit", (event) => {
		if (!event.target.dataset.verb) return;
		event.preventDefault();
		act(event.target);
	});
	document.addEventListener("click", (event) => {
		const step = event.target.closest?.("a.leg");
		if (!step || event.ctrlKey || event.metaKey || event.shiftKey) return;
		event.preventDefault();
		const n = Number(step.dataset.line);
		history.replaceState(null, "", `#L${n}`);
		log.mark(n, n);
		log.goTo(n);
		log.view.focus({ preventScroll: true });
	});
	watch({ id: job }, path, () => {
		const now = $("#job").dataset;
		// Another attempt has another log.
		if (!pinned && now.attempt !== attempt) location.reload();
		if (now.state !== state) tell(`The job is now ${now.state}.`);
		state = now.state;
	});
	addEventListener("keydown", (event) => {
		if (event.key !== "/" || event.target.closest("input")) return;
		event.preventDefault();
		$(".find input")?.focus();
	});
}

const views = {
	jobs: () => watch({}, () => location.href),
	job: jobPage,
};

views[page.view]?.();
tick();
setInterval(tick, 1000);
