/**
 * A client of slipway, in one file without dependencies: for Node 20 or later and for
 * browsers. Its types can be stripped as they stand (node --experimental-strip-types).
 *
 *     import { JobBuilder, SlipwayClient } from "./slipway.ts";
 *
 *     const client = new SlipwayClient("https://ci.example.org", { token: "..." });
 *     const job = new JobBuilder()
 *       .repo("https://git.example.org/app.git").commit("main")
 *       .step("build", "make")
 *       .step("test", "make check", { timeout: 600 })
 *       .build();
 *     const { jobId } = await client.submitJob(job);
 *     for await (const event of client.streamLogs(jobId))
 *       process.stdout.write(event.text);
 *     const { status } = await client.waitForCompletion(jobId);
 *
 * Times in answers are milliseconds since 1970, durations milliseconds; the time-outs of a
 * job are seconds, those of this client milliseconds. What the server refuses, and what
 * cannot be reached, is thrown as a SlipwayError.
 */

export type JobState =
  | "queued" | "running" | "success" | "failure" | "timeout" | "cancelled";
export type StepState = "pending" | "running" | "success" | "failure" | "skipped";

export type Secrets =
  | string[]
  | Record<string, string | { name: string; file?: boolean }>;

export interface StepSpec {
  name: string;
  run: string;
  workingDir?: string;
  env?: Record<string, string>;
  secrets?: Secrets;
  continueOnError?: boolean;
  timeout?: number;
  when?: "on_success" | "always";
  shell?: string;
}

export interface JobSpec {
  id?: string;
  repo: string;
  commit: string;
  branch?: string;
  steps: StepSpec[];
  env?: Record<string, string>;
  secrets?: Secrets;
  cacheKeys?: string[];
  timeout?: number;
  priority?: number;
  image?: string;
  runner?: string;
  labels?: string[];
  environment?: string;
  resources?: { cpus?: number; memory?: number | string; pids?: number; gpus?: number };
  retry?: { on?: ("failure" | "timeout" | "infra")[]; limit?: number; lost?: boolean };
  network?: "none" | "isolated" | "host";
  depth?: 0 | 1;
  submodules?: boolean;
}

export interface StepStatus {
  name: string;
  status: StepState;
  output?: string;
  exitCode?: number;
  continueOnError?: boolean;
  duration?: number;
  startedAt?: number;
  finishedAt?: number;
}

export interface ResourceUsage {
  cpuTime: number;
  memoryPeak: number;
}

export interface Attempt {
  number: number;
  status: JobState;
  reason?: string;
  error?: string;
  runner?: string;
  sandboxId?: string;
  commit?: string;
  queuedAt?: number;
  startedAt?: number;
  finishedAt?: number;
  duration?: number;
  resourceUsage?: ResourceUsage;
}

export interface JobStatus {
  id: string;
  status: JobState;
  currentStep?: number;
  queuedAt: number;
  startedAt?: number;
  finishedAt?: number;
  duration?: number;
  reason?: string;
  error?: string;
  waitReason?: string;
  queuePosition?: number;
  etaMs?: number;
  attempt: number;
  attempts?: Attempt[];
  phase?: string;
  runner?: string;
  sandboxId?: string;
  repo: string;
  commit: string;
  branch?: string;
  priority: number;
  warnings: number;
  trigger: string;
  url: string;
  logUrl: string;
  steps: StepStatus[];
  resourceUsage?: ResourceUsage;
}

export interface Submitted {
  message: string;
  jobId: string;
  url: string;
  queuePosition: number;
}

export interface CacheStats {
  totalCaches: number;
  totalSize: number;
  hits: number;
  misses: number;
  hitRate: number;
  caches: { key: string; paths: string[]; lastUsed: number; size: number }[];
}

export interface Metrics {
  totalJobs: number;
  successRate: number;
  avgDuration: number;
  cacheHitRate: number;
  [more: string]: unknown;
}

/** One event of a log. */
export interface LogEvent {
  /** "message" is output; the others are as their names say. */
  event: "message" | "step" | "note" | "status" | "end" | string;
  /** The text of a message, the object of all others. */
  data: string | Record<string, unknown>;
  /** What is to be printed: of a message its lines, each with its end (but for the last
   * one of a partial message); "" of all others. */
  text: string;
  /** streamLogs(job, { lastEventId: id }) goes on behind this event. */
  id: string;
  /** The last line of this message goes on in a later one. */
  partial: boolean;
}

export interface ClientOptions {
  /** Default: $SLIPWAY_TOKEN, where there is an environment. */
  token?: string;
  /** ms for one answer; default 30000. */
  timeout?: number;
  /** Another fetch than the global one. */
  fetch?: typeof fetch;
}

export interface ListFilters {
  status?: JobState;
  repo?: string;
  branch?: string;
  since?: number;
  /** 1 to 200; default 50. */
  limit?: number;
}

export interface WaitOptions {
  /** ms; default 600000; Infinity: for ever. */
  timeout?: number;
  /** ms between two tries while the server is away; default 2000. */
  pollInterval?: number;
  /** Called at each change. */
  onProgress?: (status: JobStatus) => void;
  signal?: AbortSignal;
}

export interface LogOptions {
  /** A step's name, or its index from 0. */
  step?: string | number;
  /** About the last so many lines only. */
  tail?: number;
  attempt?: number;
  /** false: only what is there now. */
  follow?: boolean;
  lastEventId?: string;
  /** ms for which the server may stay away; default 60000. */
  patience?: number;
  signal?: AbortSignal;
}

interface ErrorDetails {
  status?: number;
  code?: string;
  field?: string;
  retryAfter?: number;
  cause?: unknown;
}

/** What went wrong. */
export class SlipwayError extends Error {
  /** Of the answer; 0 when there was none. */
  readonly status: number;
  /** For programs: "not_found", "invalid", "draining", ...; "unreachable" when there was
   * no answer, "protocol" when it made no sense, "timeout" when waiting took too long. */
  readonly code: string;
  /** What is at fault in the request, as "steps[0].run". */
  readonly field: string | undefined;
  /** ms, where the server said so. */
  readonly retryAfter: number | undefined;

  constructor(message: string, details: ErrorDetails = {}) {
    const { field, cause } = details;
    super(field && !message.includes(field) ? `${field}: ${message}` : message, { cause });
    this.name = "SlipwayError";
    this.status = details.status ?? 0;
    this.code = details.code ?? "unreachable";
    this.field = field;
    this.retryAfter = details.retryAfter;
  }

  /** Worth another try, as it is. */
  get passing(): boolean {
    return this.code === "unreachable" || [429, 502, 503, 504].includes(this.status);
  }
}

/** Puts a job object together. What it holds is checked by the server. */
export class JobBuilder {
  #job: Partial<JobSpec> & { steps: StepSpec[] } = { steps: [] };

  repo(url: string): this {
    return this.set("repo", url);
  }

  /** A SHA, or the name of a branch or tag. */
  commit(commit: string): this {
    return this.set("commit", commit);
  }

  branch(name: string): this {
    return this.set("branch", name);
  }

  step(name: string, run: string, more: Omit<StepSpec, "name" | "run"> = {}): this {
    this.#job.steps.push({ name, run, ...more });
    return this;
  }

  /** A variable, or an object of them; what was given before stays. */
  env(name: string | Record<string, string>, value = ""): this {
    const more = typeof name === "string" ? { [name]: value } : name;
    return this.set("env", { ...this.#job.env, ...more });
  }

  /** Lock files that the caches go by: "package-lock.json". */
  cache(...keys: string[]): this {
    return this.set("cacheKeys", [...(this.#job.cacheKeys ?? []), ...keys]);
  }

  timeout(seconds: number): this {
    return this.set("timeout", seconds);
  }

  /** 0 to 10; 10 goes first. */
  priority(priority: number): this {
    return this.set("priority", priority);
  }

  /** Any other field of the job object: set("network", "none"). */
  set<K extends keyof JobSpec>(field: K, value: JobSpec[K]): this {
    Object.assign(this.#job, { [field]: value });
    return this;
  }

  build(): JobSpec {
    for (const field of ["repo", "commit", "steps"] as const) {
      if (!this.#job[field]?.length)
        throw new SlipwayError(`a job needs ${field}`, { code: "invalid", field });
    }
    return structuredClone(this.#job) as JobSpec;
  }
}

const FINAL: readonly JobState[] = ["success", "failure", "timeout", "cancelled"];
const WAIT_MAX_S = 50;
const SILENCE_MS = 60_000; // the server sends something every 15 s
const EVENT_MAX = 16 << 20;

type Query = Record<string, string | number | undefined>;

interface Call {
  method?: "GET" | "POST";
  query?: Query;
  body?: unknown;
  headers?: Record<string, string>;
  timeout?: number;
  signal?: AbortSignal | undefined;
}

interface Place {
  id: string;
}

function environment(name: string): string | undefined {
  const host = globalThis as {
    process?: { env?: Record<string, string | undefined> };
  };
  return host.process?.env?.[name];
}

function defaultUrl(): string {
  const page = (globalThis as { location?: { origin?: string } }).location?.origin;
  const here = page && page !== "null" ? page : undefined;
  return environment("SLIPWAY_URL") ?? here ?? "http://127.0.0.1:8080";
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function because(e: unknown): string {
  const error = e as { message?: string; cause?: { message?: string; code?: string } };
  return error.cause?.message || error.cause?.code || error.message || String(e);
}

export class SlipwayClient {
  readonly baseUrl: string;
  readonly #token: string | undefined;
  readonly #timeout: number;
  readonly #fetch: typeof fetch;

  /** url: http://HOST:PORT or https://HOST/PREFIX; default: $SLIPWAY_URL, else where the
   * page came from, else http://127.0.0.1:8080. */
  constructor(url: string = defaultUrl(), options: ClientOptions = {}) {
    if (!/^https?:\/\/./.test(url))
      throw new TypeError(`not an http:// or https:// address: ${url}`);
    this.baseUrl = url.replace(/\/+$/, "");
    this.#token = options.token ?? environment("SLIPWAY_TOKEN");
    this.#timeout = options.timeout ?? 30_000;
    this.#fetch = options.fetch ?? ((...args) => globalThis.fetch(...args));
  }

  // --- jobs

  /** Queue a job. */
  submitJob(job: JobSpec | JobBuilder): Promise<Submitted> {
    const body = job instanceof JobBuilder ? job.build() : job;
    return this.#json("/jobs/submit", { method: "POST", body });
  }

  /** Check a job without queueing it. */
  validateJob(job: JobSpec | JobBuilder): Promise<{ valid: boolean; plan: unknown }> {
    const body = job instanceof JobBuilder ? job.build() : job;
    return this.#json("/jobs/validate", { method: "POST", body });
  }

  /** One job; with wait (seconds, at most 60) at its next change. */
  getJobStatus(
    id: string,
    options: { wait?: number; signal?: AbortSignal | undefined } = {},
  ): Promise<JobStatus> {
    const wait = options.wait || undefined;
    return this.#json("/jobs/status", {
      query: { id, wait },
      timeout: this.#timeout + (wait ?? 0) * 1000,
      signal: options.signal,
    });
  }

  /** The newest jobs. */
  listJobs(filters: ListFilters = {}): Promise<JobStatus[]> {
    return this.#json("/jobs", { query: { ...filters } });
  }

  /** All jobs, newest first, page by page. */
  async *eachJob(filters: ListFilters = {}): AsyncGenerator<JobStatus, void, undefined> {
    let query: Query | undefined = { limit: 200, ...filters };
    while (query) {
      let link = "";
      const jobs: JobStatus[] = await this.#json("/jobs", { query }, (response) => {
        link = /<([^>]*)>; *rel="next"/.exec(response.headers.get("Link") ?? "")?.[1] ?? "";
      });
      yield* jobs;
      query = link
        ? Object.fromEntries(new URL(link, this.baseUrl).searchParams)
        : undefined;
    }
  }

  /** {cancelled: true} once its processes are gone, or {cancelled: false, reason}. */
  cancelJob(id: string): Promise<{ cancelled: boolean; reason?: string }> {
    const timeout = Math.max(120_000, this.#timeout);
    return this.#json("/jobs/cancel", { method: "POST", body: { jobId: id }, timeout });
  }

  /** Queue a finished job again, as its next attempt. */
  retryJob(id: string): Promise<Submitted> {
    return this.#json("/jobs/retry", { method: "POST", body: { jobId: id } });
  }

  /** Wait until the job is over. A SlipwayError with the code "timeout" when that takes
   * too long; the job goes on then. */
  async waitForCompletion(id: string, options: WaitOptions = {}): Promise<JobStatus> {
    const { timeout = 600_000, pollInterval = 2000, onProgress, signal } = options;
    const deadline = Date.now() + timeout;
    let seen: JobStatus | undefined;
    let shown = "";
    for (;;) {
      const left = deadline - Date.now();
      let again = 0;
      try {
        const s = Math.floor(Math.min(WAIT_MAX_S, left / 1000));
        const wait = seen && s > 0 ? s : 0;
        const now = await this.getJobStatus(id, { wait, signal });
        const text = JSON.stringify(now);
        if (onProgress && text !== shown)
          onProgress(now);
        if (FINAL.includes(now.status))
          return now;
        again = wait > 0 || !seen ? 0 : pollInterval;
        seen = now;
        shown = text;
      } catch (e) {
        if (!(e instanceof SlipwayError) || !e.passing || left <= 0)
          throw e;
        again = e.retryAfter ?? pollInterval;
      }
      if (left <= 0) {
        throw new SlipwayError(
          `job ${id} is not over after ${timeout} ms: it is ${seen?.status}`,
          { code: "timeout" });
      }
      await sleep(Math.min(again, left), signal);
    }
  }

  // --- logs

  /** The events of a job's log until it is over. After a cut it goes on where it was,
   * with no line lost or twice. */
  async *streamLogs(
    id: string,
    options: LogOptions = {},
  ): AsyncGenerator<LogEvent, void, undefined> {
    const { step, tail, attempt, follow = true, patience = 60_000, signal } = options;
    const query = { id, step, tail, attempt, follow: follow ? undefined : 0 };
    const place: Place = { id: options.lastEventId ?? "" };
    let status = "", since = 0, delay = 250;
    for (;;) {
      let error = new SlipwayError("the log was cut off");
      try {
        for await (const event of this.#streamOnce(query, place, signal)) {
          since = 0;
          delay = 250;
          if (event.event === "status") {
            // Each connection begins with it.
            const text = JSON.stringify(event.data);
            if (text === status)
              continue;
            status = text;
          }
          yield event;
          if (event.event === "end")
            return;
        }
        if (!follow)
          return;
      } catch (e) {
        if (!(e instanceof SlipwayError) || !e.passing)
          throw e;
        error = e;
      }
      since ||= Date.now();
      if (Date.now() - since >= patience)
        throw error;
      await sleep(error.retryAfter ?? delay, signal);
      delay = Math.min(delay * 2, 4000);
    }
  }

  async *#streamOnce(
    query: Query,
    place: Place,
    signal?: AbortSignal,
  ): AsyncGenerator<LogEvent, void, undefined> {
    const abort = new AbortController();
    const onAbort = () => abort.abort(signal?.reason);
    const silent = () =>
      abort.abort(new SlipwayError(`${this.baseUrl} sent nothing for a minute`));
    let timer = setTimeout(silent, SILENCE_MS);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (place.id)
        headers["Last-Event-ID"] = place.id;
      const response = await this.#open("/jobs/logs", {
        query, headers, signal: abort.signal,
      });
      if (response.status !== 200)
        await this.#decode(response);
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      const parser = new Parser(place);
      for (;;) {
        const { done, value } = await reader.read();
        clearTimeout(timer);
        if (done)
          return;
        yield* parser.feed(value);
        timer = setTimeout(silent, SILENCE_MS);
      }
    } catch (e) {
      signal?.throwIfAborted();
      if (e instanceof SlipwayError)
        throw e;
      throw new SlipwayError(`the log was cut off: ${because(e)}`, { cause: e });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      abort.abort();
    }
  }

  // --- what later versions of the server have

  /** A server that keeps no caches yet answers with a SlipwayError: status 404, code
   * "not_found". */
  getCacheStats(): Promise<CacheStats> {
    return this.#json("/cache/stats", {});
  }

  /** A server without metrics answers with a SlipwayError: status 404, "not_found". */
  getMetrics(range: "hour" | "day" | "week" | "month" = "day"): Promise<Metrics> {
    return this.#json("/metrics", { query: { range } });
  }

  /** Where people look: the list of jobs, or one job. */
  getDashboardUrl(id?: string): string {
    return `${this.baseUrl}/dashboard${id ? `/jobs/${encodeURIComponent(id)}` : ""}`;
  }

  // --- HTTP

  /** An answer, whole and in time. */
  async #json<T>(
    path: string,
    call: Call,
    onHead: (response: Response) => void = () => {},
  ): Promise<T> {
    const timeout = call.timeout ?? this.#timeout;
    const abort = new AbortController();
    const onAbort = () => abort.abort(call.signal?.reason);
    const timer = setTimeout(() => abort.abort(new Error(`no answer in ${timeout} ms`)), timeout);
    call.signal?.addEventListener("abort", onAbort, { once: true });
    try {
      call.signal?.throwIfAborted();
      const response = await this.#open(path, { ...call, signal: abort.signal });
      onHead(response);
      return await this.#decode<T>(response);
    } catch (e) {
      call.signal?.throwIfAborted();
      throw e;
    } finally {
      clearTimeout(timer);
      call.signal?.removeEventListener("abort", onAbort);
    }
  }

  async #open(path: string, call: Call): Promise<Response> {
    const url = new URL(this.baseUrl + path);
    for (const [key, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined)
        url.searchParams.set(key, String(value));
    }
    const headers: Record<string, string> = {
      Accept: "application/json",
      ...call.headers,
    };
    if (call.body !== undefined)
      headers["Content-Type"] = "application/json";
    if (this.#token)
      headers["Authorization"] = `Bearer ${this.#token}`;
    try {
      return await this.#fetch(url.href, {
        method: call.method ?? "GET",
        headers,
        body: call.body === undefined ? null : JSON.stringify(call.body),
        cache: "no-store",
        redirect: "error",
        signal: call.signal ?? null,
      });
    } catch (e) {
      throw new SlipwayError(`cannot talk to ${this.baseUrl}: ${because(e)}`, { cause: e });
    }
  }

  async #decode<T>(response: Response): Promise<T> {
    let value: unknown;
    let text: string;
    try {
      text = await response.text();
    } catch (e) {
      throw new SlipwayError(
        `the answer of ${this.baseUrl} was cut off: ${because(e)}`, { cause: e });
    }
    try {
      value = JSON.parse(text);
    } catch {
      value = undefined;
    }
    if (response.ok && value !== undefined)
      return value as T;
    const fault = (value ?? {}) as { error?: string; code?: string; field?: string };
    const after = Number(response.headers.get("Retry-After") ?? NaN);
    throw new SlipwayError(
      fault.error ?? `${this.baseUrl} answered with status ${response.status}`, {
        status: response.status,
        code: fault.code ?? "protocol",
        ...(fault.field ? { field: fault.field } : {}),
        ...(Number.isFinite(after) ? { retryAfter: after * 1000 } : {}),
      });
  }
}

/** Server-Sent Events. What a cut leaves unfinished is never seen. */
class Parser {
  readonly #place: Place;
  readonly #decoder = new TextDecoder();
  #rest = "";
  #event = "";
  #data: string[] = [];
  #id: string | undefined;
  #partial = false;

  constructor(place: Place) {
    this.#place = place;
  }

  *feed(bytes: Uint8Array): Generator<LogEvent, void, undefined> {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > EVENT_MAX)
      throw new SlipwayError("a line of the log is too long", { status: 200, code: "protocol" });
    for (const line of lines) {
      if (line === "") {
        const event = this.#dispatch();
        if (event)
          yield event;
      } else {
        this.#field(line);
      }
    }
  }

  #field(line: string): void {
    if (line.startsWith(":")) {
      this.#partial ||= line === ": partial";
      return;
    }
    const colon = line.indexOf(":");
    const key = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" "))
      value = value.slice(1);
    if (key === "data")
      this.#data.push(value);
    else if (key === "event")
      this.#event = value;
    else if (key === "id")
      this.#id = value;
  }

  #dispatch(): LogEvent | undefined {
    const event = this.#event || "message";
    const data = this.#data.join("\n");
    const partial = this.#partial;
    const has = this.#data.length > 0;
    if (this.#id !== undefined)
      this.#place.id = this.#id;
    this.#event = "";
    this.#data = [];
    this.#id = undefined;
    this.#partial = false;
    if (!has)
      return undefined;
    const output = event === "message";
    return {
      event,
      data: output ? data : JSON.parse(data),
      text: output ? data + (partial ? "" : "\n") : "",
      id: this.#place.id,
      partial,
    };
  }
}
