// CQL on standard input, ELM on standard output: {"models": {name: xml}, "libraries": {name: text}} becomes
// {name: {"elm": text, "problems": [text]}}. Run by tests/authoring/translator.py with the package beside it.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { createRequire } from "node:module";

const require = createRequire(pathToFileURL(process.argv[2] + "/package.json"));
const cql = await import(pathToFileURL(require.resolve("@cqframework/cql/cql-to-elm")));
const given = JSON.parse(readFileSync(0, "utf8"));

function translate(text) {
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
  const libraries = new cql.LibraryManager(models, options);
  libraries.librarySourceLoader.registerProvider(
    cql.createLibrarySourceProvider((name) => (given.libraries[name] ? cql.stringAsSource(given.libraries[name]) : null)),
  );
  const done = cql.CqlTranslator.fromText(text, libraries);
  const problems = Array.from(done.exceptions.asJsReadonlyArrayView(), (one) => {
    const at = one.locator ? `${one.locator.startLine}:${one.locator.startChar}: ` : "";
    return `${one.severity?.name ?? ""}: ${at}${one.message}`;
  });
  return { elm: done.toJson(), problems };
}

const wanted = process.argv.slice(3);
console.log(JSON.stringify(Object.fromEntries(wanted.map((name) => [name, translate(given.libraries[name])]))));
