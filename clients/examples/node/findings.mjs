// Submits a CloudTrail log file, if one is given, and lists what is open and likely.
//
// AMIGUARD_PROTO is the folder that holds amiguard/v1/*.proto; AMIGUARD_SERVER the server's address;
// AMIGUARD_CA a PEM file with the authority of its certificate (a plain-text connection where
// unset); AMIGUARD_TOKEN a token.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const TIMEOUT_MS = 30_000;
const PROTO =
  process.env.AMIGUARD_PROTO ?? fileURLToPath(new URL("../../../proto", import.meta.url));

const contract = protoLoader.loadSync(
  ["amiguard/v1/finding_service.proto", "amiguard/v1/ingest_service.proto"],
  // Names as in the contract; 64-bit numbers as text, which a JavaScript number cannot hold.
  { includeDirs: [PROTO], keepCase: true, longs: String, enums: String, defaults: true },
);
const { FindingService, IngestService } = grpc.loadPackageDefinition(contract).amiguard.v1;

// Returns a function that makes one call and promises its answer.
function caller(client, metadata) {
  return (method, request) =>
    promisify(client[method].bind(client))(request, metadata, {
      deadline: Date.now() + TIMEOUT_MS,
    });
}

async function* findings(call, filter) {
  let page_token = "";
  do {
    const page = await call("GetFindings", { filter, order_by: "likelihood_score desc", page_token });
    yield* page.findings;
    page_token = page.next_page_token;
  } while (page_token);
}

async function main(logFiles) {
  const server = process.env.AMIGUARD_SERVER ?? "127.0.0.1:7443";
  const credentials = process.env.AMIGUARD_CA
    ? grpc.credentials.createSsl(readFileSync(process.env.AMIGUARD_CA))
    : grpc.credentials.createInsecure();
  const metadata = new grpc.Metadata();
  if (process.env.AMIGUARD_TOKEN) {
    metadata.set("authorization", `Bearer ${process.env.AMIGUARD_TOKEN}`);
  }
  // Plain text is for this machine alone, so a proxy of the environment must not get it.
  const options = process.env.AMIGUARD_CA ? {} : { "grpc.enable_http_proxy": 0 };
  const ingest = new IngestService(server, credentials, options);
  const reads = new FindingService(server, credentials, options);
  try {
    for (const name of logFiles) {
      const batch = { log_file: readFileSync(name) };
      const { ack } = await caller(ingest, metadata)("SubmitBatch", {
        source: "example-node",
        batch,
      });
      console.log(`accepted ${ack.accepted_count}, rejected ${ack.rejected_count}: ${name}`);
    }
    const call = caller(reads, metadata);
    for await (const finding of findings(call, "state = OPEN AND likelihood = HIGH")) {
      const patterns = finding.search.name_patterns.join(", ");
      console.log(`${finding.name} ${finding.likelihood_score} ${patterns}`);
    }
  } catch (error) {
    console.error(`${grpc.status[error.code] ?? "ERROR"}: ${error.details ?? error.message}`);
    process.exitCode = 1;
  } finally {
    ingest.close();
    reads.close();
  }
}

await main(process.argv.slice(2));
