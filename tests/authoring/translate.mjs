// CQL on standard input, ELM on standard output: {"models": {name: xml}, "libraries": {name: text}} becomes
// {name: {"elm": text, "problems": [text]}}. Run by tests/authoring/translator.py with the package beside it.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { createRequire } from "node:module";

const require = createRequire(pathToFileURL(process.argv[2] + "/package.json"));
const cql = await import(pathToFileURL(require.resolve("@cqframework/cql/cql-to-elm")));
const given = JSON.parse(readFileSync(0, "utf8"));

function prepare() {
  const models = new cql.ModelManager();
  models.modelInfoLoader.registerModelInfoProvider(
    cql.createModelInfoProvider((name, system, version) => {
      const found = given.models[`${name}|${version ?? ""}`] ?? given.models[`${name}|`];
      return found ? cql.stringAsSource(found) : null;
    }),
    true,
  );
  const kinds = cql.CqlCompilerOptions.Options;
  const options = new cql.CqlCompilerOptions();
  options.setOptions([kinds.DisableListDemotion, kinds.DisableListPromotion, kinds.EnableLocators, kinds.EnableResultTypes]);
  options.signatureLevel = cql.LibraryBuilder.SignatureLevel.Overloads;
  // Units are checked by the engine's own tables; no text of ours converts any.
  const unknown = () => { throw new Error("units are not converted while translating"); };
  const units = cql.createUcumService(unknown, () => null, unknown, unknown);
  const libraries = new cql.LibraryManager(models, options, undefined, units);
  libraries.librarySourceLoader.registerProvider(
    cql.createLibrarySourceProvider((name) => (given.libraries[name] ? cql.stringAsSource(given.libraries[name]) : null)),
  );
  return libraries;
}

function translate(text, libraries) {
  const done = cql.CqlTranslator.fromText(text, libraries);
  const problems = Array.from(done.exceptions.asJsReadonlyArrayView(), (one) => {
    const place = Object.values(one.locator ?? {}).filter((part) => typeof part === "number");
    return `${one.severity?.name ?? ""}: ${place.slice(0, 2).join(":")}: ${one.message}`;
  });
  return { elm: done.toJson(), problems };
}

const wanted = process.argv.slice(3);
const libraries = prepare();
const translated = wanted.map((name) => [name, translate(given.libraries[name], libraries)]);
console.log(JSON.stringify(Object.fromEntries(translated)));
