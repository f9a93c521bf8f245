import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.mlflow.api.proto.ModelRegistry.ModelVersion;
import org.mlflow.api.proto.Service.Experiment;
import org.mlflow.api.proto.Service.Metric;
import org.mlflow.api.proto.Service.Param;
import org.mlflow.api.proto.Service.Run;
import org.mlflow.api.proto.Service.RunInfo;
import org.mlflow.api.proto.Service.RunStatus;
import org.mlflow.api.proto.Service.RunTag;
import org.mlflow.api.proto.Service.ViewType;
import org.mlflow.tracking.ActiveRun;
import org.mlflow.tracking.MlflowClient;
import org.mlflow.tracking.MlflowContext;
import org.mlflow.tracking.MlflowHttpException;
import org.mlflow.tracking.Page;
import org.mlflow.tracking.RunsPage;

/** What a Java program does with a tracking server: arguments are the server's URL and a folder to write in. */
public class Cellar {
  static void check(boolean ok, Object got) {
    if (!ok) throw new AssertionError(got);
  }

  public static void main(String[] args) throws Exception {
    try (MlflowClient client = new MlflowClient(args[0])) {
      String experiment = client.createExperiment("java cellar");
      client.setExperimentTag(experiment, "grape", "riesling");
      String run = logs(client, experiment);
      searches(client, experiment, run);
      artifacts(client, run, new File(args[1]));
      registers(client, run);
      contexts(client);
      refused(client, run);
      removes(client, experiment, run);
      System.out.println("run " + run);
    }
  }

  static String logs(MlflowClient client, String experiment) {
    RunInfo info = client.createRun(experiment);
    String run = info.getRunId();
    check(info.getStatus() == RunStatus.RUNNING && info.getStartTime() > 1_600_000_000_000L && !info.getArtifactUri().isEmpty(), info);
    client.logParam(run, "barrel", "oak é");
    client.logMetric(run, "sweetness", 0.25, 1_700_000_000_000L, 1);
    client.logMetric(run, "sweetness", Double.NaN, 1_700_000_000_001L, 2);
    client.logMetric(run, "sweetness", 1e-7, 1_700_000_000_002L, Long.MAX_VALUE);
    client.logMetric(run, "now", 1);
    Metric batch = Metric.newBuilder().setKey("acidity").setValue(Double.NEGATIVE_INFINITY).setTimestamp(5).build(); // no step
    client.logBatch(run, Arrays.asList(batch, batch.toBuilder().setStep(-3).setValue(7).build()),
        Collections.singletonList(Param.newBuilder().setKey("vintage").setValue("1999").build()),
        Collections.singletonList(RunTag.newBuilder().setKey("hill").setValue("north").build()));
    client.setTag(run, "gone", "soon");
    client.deleteTag(run, "gone");
    client.setTerminated(run, RunStatus.FINISHED, 1_800_000_000_000L);

    Run got = client.getRun(run);
    check(got.getInfo().getStatus() == RunStatus.FINISHED && got.getInfo().getEndTime() == 1_800_000_000_000L, got);
    // An infinity is kept as the largest double, as on MLflow's own server.
    TreeMap<String, Double> metrics = new TreeMap<>();
    got.getData().getMetricsList().forEach(m -> metrics.put(m.getKey(), m.getValue()));
    check(metrics.equals(new TreeMap<>(Map.of("sweetness", 1e-7, "acidity", -Double.MAX_VALUE, "now", 1.0))), metrics);
    TreeMap<String, String> params = new TreeMap<>();
    got.getData().getParamsList().forEach(p -> params.put(p.getKey(), p.getValue()));
    check(params.equals(Map.of("barrel", "oak é", "vintage", "1999")), params);
    check(got.getData().getTagsList().stream().anyMatch(t -> t.getKey().equals("hill") && t.getValue().equals("north")), got);
    check(got.getData().getTagsList().stream().noneMatch(t -> t.getKey().equals("gone")), got);
    List<Metric> history = client.getMetricHistory(run, "sweetness");
    check(history.size() == 3 && history.stream().anyMatch(m -> m.getStep() == Long.MAX_VALUE && m.getTimestamp() == 1_700_000_000_002L)
        && history.stream().anyMatch(m -> Double.isNaN(m.getValue())), history);
    return run;
  }

  static void searches(MlflowClient client, String experiment, String run) {
    for (int i = 0; i < 3; i++) client.setTerminated(client.createRun(experiment).getRunId(), RunStatus.FAILED);
    List<String> all = Collections.singletonList(experiment);
    List<RunInfo> found = client.searchRuns(all, "params.barrel = 'oak é' and metrics.sweetness < 1 and attributes.status = 'FINISHED'");
    check(found.size() == 1 && found.get(0).getRunId().equals(run), found);
    check(client.listRunInfos(experiment).size() == 4, client.listRunInfos(experiment));
    RunsPage page = client.searchRuns(all, "", ViewType.ALL, 3, Collections.singletonList("attribute.start_time DESC"));
    check(page.getItems().size() == 3 && page.hasNextPage(), page.getItems());
    Page<Run> last = page.getNextPage();
    int left = 0;
    for (Run ignored : last.getItems()) left++;
    check(left == 1 && !last.hasNextPage(), last.getItems());
    List<Experiment> experiments = client.searchExperiments("name = 'java cellar' AND tags.grape = 'riesling'").getItems();
    check(experiments.size() == 1 && experiments.get(0).getExperimentId().equals(experiment), experiments);
    check(client.getExperimentByName("java cellar").get().getExperimentId().equals(experiment), "by name");
    check(!client.getExperimentByName("nobody's").isPresent(), "an unknown name");
    client.renameExperiment(experiment, "java cellar 2");
    check(client.getExperiment(experiment).getName().equals("java cellar 2"), "renamed");
  }

  /** The Java client leaves every artifact store but Databricks' to MLflow's Python command line, which takes seconds a call. */
  static void artifacts(MlflowClient client, String run, File folder) throws Exception {
    Path note = Files.writeString(folder.toPath().resolve("note.txt"), "tannins");
    client.logArtifact(run, note.toFile(), "notes");
  }

  /** The Java client only reads the registry; writing goes through its REST calls, as its documentation says. */
  static void registers(MlflowClient client, String run) {
    client.sendPost("registered-models/create", "{\"name\":\"java wine\",\"tags\":[{\"key\":\"hill\",\"value\":\"north\"}]}");
    for (int i = 0; i < 2; i++) {
      client.sendPost("model-versions/create", "{\"name\":\"java wine\",\"source\":\"runs:/" + run + "/model\",\"runId\":\"" + run + "\"}");
    }
    client.sendPost("model-versions/transition-stage", "{\"name\":\"java wine\",\"version\":\"1\",\"stage\":\"Production\",\"archiveExistingVersions\":false}");
    client.sendPatch("registered-models/update", "{\"name\":\"java wine\",\"description\":\"dry\"}");
    client.sendPost("registered-models/alias", "{\"name\":\"java wine\",\"alias\":\"champion\",\"version\":\"2\"}");

    check(client.getRegisteredModel("java wine").getDescription().equals("dry"), "description");
    ModelVersion first = client.getModelVersion("java wine", "1");
    check(first.getCurrentStage().equals("Production") && first.getRunId().equals(run) && first.getCreationTimestamp() > 0, first);
    check(client.getModelVersion("java wine", "2").getAliasesList().contains("champion"), "alias");
    List<ModelVersion> latest = client.getLatestVersions("java wine", Collections.singletonList("Production"));
    check(latest.size() == 1 && latest.get(0).getVersion().equals("1"), latest);
    check(client.getLatestVersions("java wine").size() == 2, client.getLatestVersions("java wine"));
    check(client.searchModelVersions("name='java wine'").getItems().size() == 2, "versions");
    check(client.searchModelVersions("name='java wine'", 1, Collections.singletonList("version_number DESC")).hasNextPage(), "pages");
    check(client.getModelVersionDownloadUri("java wine", "1").startsWith("runs:/" + run) || client.getModelVersionDownloadUri("java wine", "1").endsWith("/model"),
        client.getModelVersionDownloadUri("java wine", "1"));
  }

  static void contexts(MlflowClient client) {
    MlflowContext context = new MlflowContext(client);
    context.setExperimentName("java cellar 2");
    ActiveRun run = context.startRun("parent");
    run.logParams(Map.of("a", "1", "b", "two"));
    run.logMetrics(Map.of("m", 0.5), 3);
    run.setTags(Map.of("t", "x"));
    ActiveRun child = context.startRun("child", run.getId());
    child.endRun(RunStatus.KILLED);
    run.endRun();
    check(client.getRun(child.getId()).getData().getTagsList().stream().anyMatch(t -> t.getKey().equals("mlflow.parentRunId") && t.getValue().equals(run.getId())), "parent");
    check(client.getRun(child.getId()).getInfo().getStatus() == RunStatus.KILLED, "killed");
  }

  static void refused(MlflowClient client, String run) {
    try {
      client.logParam(run, "barrel", "steel");
      throw new IllegalStateException("a param was changed");
    } catch (MlflowHttpException e) {
      check(e.getStatusCode() == 400 && e.getBodyMessage().contains("INVALID_PARAMETER_VALUE"), e.getBodyMessage());
    }
    try {
      client.getRun("0123456789abcdef0123456789abcdef");
      throw new IllegalStateException("an unknown run was found");
    } catch (MlflowHttpException e) {
      check(e.getStatusCode() == 404 && e.getBodyMessage().contains("RESOURCE_DOES_NOT_EXIST"), e.getBodyMessage());
    }
  }

  static void removes(MlflowClient client, String experiment, String run) {
    client.deleteRun(run);
    check(client.getRun(run).getInfo().getLifecycleStage().equals("deleted"), "deleted");
    client.restoreRun(run);
    client.deleteExperiment(experiment);
    check(client.getExperiment(experiment).getLifecycleStage().equals("deleted"), "deleted");
    client.restoreExperiment(experiment);
  }
}
